"""Which file systems several machines may share, and so cannot hold a write-ahead log.

SQLite's write-ahead log needs memory that all processes share, which a network or cloud drive does
not give (https://sqlite.org/wal.html, "all processes must be on the same host").
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

MOUNTS = Path("/proc/self/mountinfo")
SHARED = {
    *("nfs", "nfs4", "cifs", "smb", "smb2", "smb3", "smbfs", "afs", "afpfs", "ncpfs", "coda"),
    *("9p", "drvfs", "vboxsf", "virtiofs", "vmhgfs", "prl_fs", "osxfs", "davfs", "webdav"),
    *("ceph", "lustre", "gpfs", "beegfs", "glusterfs", "gfs2", "ocfs2", "fuse", "macfuse"),
}
# Programs that hand on a local disk; every other one of FUSE is taken for a network or cloud drive.
LOCAL_FUSE = {
    *("fuse.fuse-overlayfs", "fuse.bindfs", "fuse.mergerfs", "fuse.gocryptfs", "fuse.encfs"),
    *("fuse.cryfs", "fuse.ext4", "fuse.ntfs-3g"),
}


def shared_drive(path: str | Path) -> str | None:
    """The type of the network or cloud drive that holds `path`; None on a local disk."""
    if str(path) == ":memory:":
        return None
    where = Path(path).resolve()
    if sys.platform == "win32":
        return _windows_drive(where)
    if sys.platform == "darwin":
        return _mac_drive(where)
    try:
        kind = type_in_mountinfo(where, MOUNTS.read_text(errors="surrogateescape"))
    except OSError:
        return None
    return kind if is_shared(kind) else None


def is_shared(kind: str) -> bool:
    """Whether a file system of this type is a network or cloud drive."""
    if kind.startswith("fuse."):
        return kind not in LOCAL_FUSE
    return kind in SHARED


def type_in_mountinfo(where: Path, text: str) -> str:
    """The type of the file system that holds an absolute path; "" where the text does not say.

    Source of the format: proc_pid_mountinfo(5). Of several mounts on one folder the last one holds.
    """
    found, longest = "", -1
    for line in text.splitlines():
        before, dash, after = line.partition(" - ")
        fields, kind = before.split(" "), after.split(" ")[0]
        if not dash or len(fields) < 5:
            continue
        point = Path(_unescaped(fields[4]))
        if len(point.parts) >= longest and where.is_relative_to(point):
            found, longest = kind, len(point.parts)
    return found


def _unescaped(field: str) -> str:
    """Blanks and backslashes stand there as octal numbers: \\040."""
    return re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), field)


def type_in_mount_list(where: Path, text: str) -> str:
    """The same out of what macOS's `mount` prints: //me@host/share on /Volumes/share (smbfs, .."""
    found, longest = "", -1
    for point, kind in re.findall(r"^.* on (/.*) \((\w+)", text, flags=re.MULTILINE):
        parts = len(Path(point).parts)
        if parts >= longest and where.is_relative_to(point):
            found, longest = kind, parts
    return found


def _mac_drive(where: Path) -> str | None:
    if "CloudStorage" in where.parts:  # ~/Library/CloudStorage/GoogleDrive-..., OneDrive-...
        return "CloudStorage"
    try:
        mounts = subprocess.run(["/sbin/mount"], capture_output=True, text=True, check=False).stdout
    except OSError:
        return None
    kind = type_in_mount_list(where, mounts)
    return kind if is_shared(kind) else None


def _windows_drive(where: Path) -> str | None:
    root = os.path.splitdrive(where)[0]
    if root.startswith("\\\\"):
        return "a network share"
    import ctypes

    remote = 4  # DRIVE_REMOTE of GetDriveTypeW
    kernel = getattr(ctypes, "windll").kernel32  # noqa: B009 - only Windows has it
    return "a network drive" if kernel.GetDriveTypeW(f"{root}\\") == remote else None
