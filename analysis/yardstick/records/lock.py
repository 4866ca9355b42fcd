"""Whether a run is being written: its folder's file `lock` is locked then, by the program's base/lock."""
import fcntl
import os
import pathlib
import struct

LAYOUT = "hhlli4x"  # struct flock


def run_of(path):
    """The run folder that a file or folder lies in."""
    path = pathlib.Path(path).absolute()
    return next((p.parent for p in (path, *path.parents) if p.name == "segments"), path)


def held(path):
    """Whether a process holds the lock of the run that `path` lies in."""
    try:
        file = os.open(run_of(path) / "lock", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (OSError, ValueError):
        return False
    try:
        query = struct.pack(LAYOUT, fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
        return struct.unpack(LAYOUT, fcntl.fcntl(file, getattr(fcntl, "F_OFD_GETLK", fcntl.F_GETLK), query))[0] != fcntl.F_UNLCK
    except OSError:
        return False
    finally:
        os.close(file)
