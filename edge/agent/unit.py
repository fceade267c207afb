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
User=solarperform-agent
DynamicUser=yes
StateDirectory=solarperform-agent
StateDirectoryMode=0700
Restart=always
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
{more}
[Install]
WantedBy=multi-user.target
"""


def text(command: list[str], writable: list[Path]) -> str:
    """command: what runs the agent; writable: what lies outside its own folder."""
    more = "".join(f"ReadWritePaths={path}\n" for path in writable)
    return _UNIT.format(command=shlex.join(command), more=more)
