"""Shut the network off in every Python process that has this folder on PYTHONPATH.

`make test` puts it there: kernels, builds and other subprocesses may connect to this machine only,
so that a lab that needs the network fails even where there is one. Python imports the module named
sitecustomize by itself when it starts.
"""

import ipaddress
import socket

REASON = (
    "the tests run with the network off, and {!r} is not this machine: what the book computes "
    "must be computed from what is installed"
)


class NetworkIsOffError(RuntimeError):
    """A test, a lab or a build wanted the network."""


def is_this_machine(host):
    """Whether ``host``, a name or an address, is the machine that the test runs on."""
    if isinstance(host, bytes):
        host = host.decode()
    if not host or host in {"localhost", socket.gethostname()}:
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def guard(function, address_at):
    """Wrap a socket function that takes the address as argument number ``address_at``."""

    def guarded(*arguments, **options):
        address = arguments[address_at] if len(arguments) > abs(address_at) - 1 else None
        if isinstance(address, tuple) and not is_this_machine(address[0]):
            raise NetworkIsOffError(REASON.format(address[0]))
        return function(*arguments, **options)

    return guarded


def guarded_getaddrinfo(host, *arguments, **options):
    """Look up names of this machine only."""
    if not is_this_machine(host):
        raise NetworkIsOffError(REASON.format(host))
    return getaddrinfo(host, *arguments, **options)


getaddrinfo = socket.getaddrinfo
socket.getaddrinfo = guarded_getaddrinfo
for name in ("connect", "connect_ex", "sendto"):
    setattr(socket.socket, name, guard(getattr(socket.socket, name), -1))
