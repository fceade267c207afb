"""Which cryptography the drop box speaks: lists of ours, whatever the library's defaults become.

The modern lists are what OpenSSH 9 offers without sha1, CBC, and groups that the client chooses: a stranger's choice of
8,192 bits is a tenth of a second of our core. The legacy ones add what loggers of before 2015 need; that listener is off
unless the settings name its port, and only accounts that are marked for it get in by it.
"""

from typing import Final, TypedDict


class Algorithms(TypedDict):
    """As asyncssh takes them."""

    kex_algs: list[str]
    encryption_algs: list[str]
    mac_algs: list[str]
    compression_algs: list[str]
    signature_algs: list[str]


MODERN: Final = Algorithms(
    kex_algs=[
        "mlkem768x25519-sha256",
        "curve25519-sha256",
        "curve25519-sha256@libssh.org",
        "ecdh-sha2-nistp256",
        "ecdh-sha2-nistp384",
        "ecdh-sha2-nistp521",
        "diffie-hellman-group16-sha512",
        "diffie-hellman-group14-sha256",
    ],
    encryption_algs=[
        "chacha20-poly1305@openssh.com",
        "aes256-gcm@openssh.com",
        "aes128-gcm@openssh.com",
        "aes256-ctr",
        "aes192-ctr",
        "aes128-ctr",
    ],
    mac_algs=["hmac-sha2-256-etm@openssh.com", "hmac-sha2-512-etm@openssh.com", "hmac-sha2-256", "hmac-sha2-512"],
    compression_algs=["none"],
    signature_algs=[
        "ssh-ed25519",
        "ecdsa-sha2-nistp256",
        "ecdsa-sha2-nistp384",
        "ecdsa-sha2-nistp521",
        "rsa-sha2-512",
        "rsa-sha2-256",
    ],
)
LEGACY: Final = Algorithms(
    kex_algs=[*MODERN["kex_algs"], "diffie-hellman-group-exchange-sha256", "diffie-hellman-group14-sha1"],
    encryption_algs=[*MODERN["encryption_algs"], "aes256-cbc", "aes128-cbc", "3des-cbc"],
    mac_algs=[*MODERN["mac_algs"], "hmac-sha1"],
    compression_algs=["none"],
    signature_algs=[*MODERN["signature_algs"], "ssh-rsa"],
)
RSA_HOST_KEY: Final = (b"rsa-sha2-512", b"rsa-sha2-256")
RSA_HOST_KEY_LEGACY: Final = (*RSA_HOST_KEY, b"ssh-rsa")
