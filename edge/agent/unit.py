"""The service unit for systemd: unprivileged, restarted always, with one folder that it may write."""

import shlex
from pathlib import Path

_UNIT = """\
[Unit]
Description=SolarPerform site agent
Wants=network-online.target time-sync.target
After=network-online.target time-sync.target
StartLimitIntervalSec=0

[Service]
ExecStart={command}
{account}Restart=always
RestartSec=5
RestartPreventExitStatus=8
KillSignal=SIGTERM
TimeoutStopSec=30
NoNewPrivileges=yes
ProtectSystem=strict
ProtectHome=read-only
PrivateTmp=yes
PrivateDevices=yes
ProtectKernelModules=yes
ProtectControlGroups=yes
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX
LockPersonality=yes
MemoryMax=256M

[Install]
WantedBy=multi-user.target
"""


_OWN_ACCOUNT = """\
User=solarperform-agent
DynamicUser=yes
StateDirectory=solarperform-agent
StateDirectoryMode=0700
"""


def text(command: list[str], folder: Path | None = None, owner: str = "") -> str:
    """command: what runs the agent. folder: its state folder and owner: whose that is, unless systemd is to make both."""
    account = f"User={owner}\nReadWritePaths={folder}\n" if folder else _OWN_ACCOUNT
    return _UNIT.format(command=shlex.join(command), account=account)
