"""
Drivers for rehearsals, in the layout of a virtio-win disc: INF files by the documented rules, written for this, and beside
each a file that stands for its program and one for its signature. The player looks at no more than that.
"""
import subprocess
from pathlib import Path

# Name: class, its GUID, PCI device, how the service starts (0: with the system, by its loader).
DRIVERS = {"viostor": ("SCSIAdapter", "4d36e97b-e325-11ce-bfc1-08002be10318", "1042", 0),
           "NetKVM": ("Net", "4d36e972-e325-11ce-bfc1-08002be10318", "1041", 3)}
VERSIONS = {"w11": "10.0...22000", "w10": "10.0", "2k22": "10.0...20348"}

INF = """; {name} of a rehearsal
[Version]
Signature   = "$Windows NT$"
Class       = {kind}
ClassGUID   = {{{guid}}}
Provider    = %Maker%
CatalogFile = {file}.cat
DriverVer   = 01/02/2025,1.0.0.0
PnpLockdown = 1

[SourceDisksNames]
1 = %Disc%

[SourceDisksFiles]
{file}.sys = 1

[DestinationDirs]
DefaultDestDir = 13

[Manufacturer]
%Maker% = Models, NT{architecture}.{target}

[Models.NT{architecture}.{target}]
%Device% = Install, PCI\\VEN_1AF4&DEV_{device}&SUBSYS_11001AF4&REV_01, PCI\\VEN_1AF4&DEV_{device}

[Install.NT]
CopyFiles = Files

[Files]
{file}.sys

[Install.NT.Services]
AddService = {file}, 0x00000002, Service

[Service]
ServiceType   = 1
StartType     = {start}
ErrorControl  = 1
ServiceBinary = %13%\\{file}.sys

[Strings]
Maker  = "Casement's tests"
Disc   = "A rehearsal's drivers"
Device = "{name} of a rehearsal"
"""


def folder(place):
    """The layout as a folder in that place; its path."""
    top = Path(place) / "drivers"
    for name, (kind, guid, device, start) in DRIVERS.items():
        for version, target in VERSIONS.items():
            for processor, architecture in (("amd64", "amd64"), ("ARM64", "arm64")):
                where, file = top / name / version / processor, name.lower()
                where.mkdir(parents=True)
                text = INF.format(name=name, kind=kind, guid=guid, file=file, device=device, start=start, target=target,
                                  architecture=architecture)
                (where / f"{file}.inf").write_bytes(text.replace("\n", "\r\n").encode())
                (where / f"{file}.sys").write_bytes(b"MZ")
                (where / f"{file}.cat").write_bytes(b"\x30")
    return top


def disc(place):
    """The same as a disc image."""
    image = Path(place) / "drivers.iso"
    subprocess.run(["genisoimage", "-quiet", "-J", "-r", "-V", "virtio-win", "-o", image, folder(place)], check=True)
    return image
