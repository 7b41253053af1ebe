/* Every variable of dockurr/windows, and the paths that it looks at (see environment_private.h for what a row says). */
#include "casement/bytes.h"
#include "environment_private.h"

#define OPTION(theirs) .name = (theirs), .kind = VARIABLE_OPTION
#define SWITCH(theirs) .name = (theirs), .kind = VARIABLE_SWITCH
#define WORDS(theirs, list) .name = (theirs), .kind = VARIABLE_WORDS, .words = (list)
#define OWN(theirs, function) .name = (theirs), .kind = VARIABLE_OWN, .translate = (function)
#define PART(theirs) .name = (theirs), .kind = VARIABLE_PART
#define PLACE(path) .name = (path), .kind = VARIABLE_PLACE
/* usual: the values that say what is so anyway. */
#define NOTHING(theirs, usual) .name = (theirs), .kind = VARIABLE_NOTHING, .words = (usual)
#define REFUSED(theirs, usual) .name = (theirs), .kind = VARIABLE_REFUSED, .words = (usual)

/* Texts that several rows have. */
#define NO_BALLOON "memory is not taken back while Windows runs; give RAM_SIZE what Windows needs"
#define NO_NAME "interfaces have names of the machine's own; leave it out"
#define NO_DNSMASQ "names and addresses are given by the machine itself; there is no dnsmasq"
#define NO_PASST "the machine has networks of its own; there is no passt"
#define NO_GPU "no graphics card is shared with Windows yet; leave it out"
#define NO_CHOICE "the machine's devices are fixed; leave it out"
#define NO_QEMU                                                                                                    \
    "QEMU's options have no meaning here; leave it out, and give one of those that `casement config --reference` " \
    "lists"
#define FURTHER_DISK "an image of this size in the folder below, unless there is one; a device comes before it"
#define FURTHER_DEVICE "the block device of that name in the container, left as it is"

/* clang-format off */
const struct variable container_variables[] = {
    {.group = "Windows", OWN("VERSION", variable_version), .fallback = "11", .option = "version", .meaning = "version to install, or the address of a disc image",
     .here = "a disc at /custom.iso or /boot.iso, or of that name in the storage folder, comes before it"},
    {OPTION("EDITION"), .option = "edition", .meaning = "edition to install"},
    {OPTION("LANGUAGE"), .fallback = "en-US", .option = "language", .meaning = "display language"},
    {OPTION("REGION"), .option = "region", .meaning = "formats of dates and numbers"},
    {OPTION("KEYBOARD"), .option = "keyboard-locale", .meaning = "keyboard layout of Windows"},
    {OPTION("KEY"), .option = "key", .meaning = "product key"},
    {OPTION("KEY_FILE"), .option = "key-file", .meaning = "file whose first line is the product key", .here = "only here"},
    {OWN("USERNAME", variable_account), .fallback = "Docker", .option = "user", .meaning = "name of the account", .here = "with DOMAIN it is --domain-user, unless DOMAIN_USER is given"},
    {OWN("PASSWORD", variable_account), .fallback = "admin", .option = "password", .meaning = "password of the account", .here = "with DOMAIN it is --domain-password as well, unless DOMAIN_USER or DOMAIN_PASSWORD is given", .verbatim = true},
    {OWN("PASSWORD_FILE", variable_account), .option = "password-file", .meaning = "file whose first line is that password", .here = "only here; as PASSWORD"},
    {SWITCH("AUTOLOGIN"), .fallback = "Y", .option = "autologon", .meaning = "log in by itself"},
    {OPTION("DOMAIN"), .option = "domain", .meaning = "Active Directory domain to join"},
    {OPTION("DOMAIN_OU"), .option = "domain-ou", .meaning = "organisational unit in it"},
    {OPTION("DOMAIN_USER"), .option = "domain-user", .meaning = "account that may join, when it is not USERNAME", .here = "only here"},
    {OPTION("DOMAIN_PASSWORD"), .option = "domain-password", .meaning = "its password", .here = "only here", .verbatim = true},
    {OPTION("DOMAIN_PASSWORD_FILE"), .option = "domain-password-file", .meaning = "file whose first line is that password", .here = "only here"},
    {OPTION("WORKGROUP"), .option = "workgroup", .meaning = "workgroup to join"},

    {.group = "Processors and memory", OWN("CPU_CORES", variable_cpu_cores), .fallback = "2", .option = "cpus", .meaning = "number of processors, half, or max",
     .here = "half and max are of what the container's control groups grant"},
    {NOTHING("CPU_MODEL", "host"), .fallback = "host", .meaning = "processor that QEMU shows", .here = "Windows sees the host's processor; leave it out"},
    {NOTHING("CPU_FLAGS", NULL), .meaning = "flags of QEMU's processor", .here = "QEMU's flags have no meaning here; give HV or VMX, which can be chosen"},
    {NOTHING("SMP", NULL), .meaning = "sockets, cores and threads", .here = "the processors are cores of one socket; give their number as CPU_CORES"},
    {NOTHING("KVM", "Y"), .fallback = "Y", .meaning = "use KVM", .here = "there is no machine without KVM, so it is used; leave it out"},
    {SWITCH("VMX"), .fallback = "N", .option = "nested", .meaning = "let Windows run virtual machines"},
    {SWITCH("HV"), .fallback = "Y", .option = "hyperv", .meaning = "show the Hyper-V interface"},
    {NOTHING("VM", "Y"), .fallback = "Y", .meaning = "tell Windows that it is in a virtual machine", .here = "Windows is always told; leave it out"},
    {OWN("RAM_SIZE", variable_ram_size), .fallback = "4G", .option = "memory", .meaning = "size of the memory, half, or max",
     .here = "half and max are of what the host has free within the container's limit, without what the machine itself needs"},
    {PART("RAM_CHECK"), .fallback = "Y", .option = "memory", .meaning = "take less when there is not so much", .here = "with N a machine that does not fit is not started"},

    {.group = "Storage", OWN("DISK_SIZE", variable_disk_size), .fallback = "64G", .option = "disk-size", .meaning = "size of the system disk, half, or max",
     .here = "half and max are of the space that is free when the disk is made"},
    {OWN("DISK_FMT", variable_disk_format), .fallback = "raw", .option = "disk-format", .meaning = "raw or qcow2", .here = "without it as the disk is that is there"},
    {OWN("DISK_TYPE", variable_disk_type), .fallback = "scsi", .option = "profile", .meaning = "bus of the disks",
     .here = "NVMe without it; scsi and blk are scsi and virtio, with drivers in /drivers; sata is ahci; usb is for further disks; an installed Windows keeps what it has: give `--profile` (CASEMENT_PROFILE) to change that"},
    {WORDS("DISK_CACHE", "none>none|directsync>none|writeback>host|writethrough>host|unsafe>host"), .fallback = "none", .option = "disk-cache", .meaning = "the host's cache",
     .here = "of further disks too; none and directsync go past it, the others use it, and what Windows has flushed is on the disk with all of them"},
    {WORDS("DISK_IO", "native>auto|io_uring>io_uring|threads>threads"), .fallback = "native", .option = "io-engine", .meaning = "how disks are read and written",
     .here = "native is io_uring where the container may use it, else threads"},
    {NOTHING("DISK_DISCARD", "unmap|on|Y"), .fallback = "unmap", .meaning = "give back what Windows deletes", .here = "it is always given back; leave it out"},
    {NOTHING("DISK_ROTATION", "1"), .fallback = "1", .meaning = "speed of rotation that Windows sees", .here = "disks are solid-state drives to Windows; leave it out"},
    {NOTHING("DISK_FLAGS", NULL), .meaning = "options of new qcow2 images", .here = "images are made with the usual options; make one with `casement image create` for others"},
    {NOTHING("DISK_OPTIONS", NULL), .meaning = "options of QEMU's disks", .here = NO_QEMU},
    {NOTHING("ALLOCATE", "N"), .fallback = "N", .meaning = "take all space at once", .here = "images grow as they are written; keep that much space free"},
    {OWN("STORAGE", variable_storage), .fallback = "/storage", .option = "state", .meaning = "folder for disks and downloads"},
    {OWN("DISK2_SIZE", variable_further_disk), .option = "disk", .meaning = "further disk in /storage2", .here = FURTHER_DISK},
    {OWN("DISK3_SIZE", variable_further_disk), .option = "disk", .meaning = "the same in /storage3", .here = FURTHER_DISK},
    {OWN("DISK4_SIZE", variable_further_disk), .option = "disk", .meaning = "the same in /storage4", .here = FURTHER_DISK},
    {OWN("DISK5_SIZE", variable_further_disk), .option = "disk", .meaning = "the same in /storage5", .here = FURTHER_DISK},
    {OWN("DISK6_SIZE", variable_further_disk), .option = "disk", .meaning = "the same in /storage6", .here = FURTHER_DISK},
    {OWN("DEVICE", variable_device), .option = "system-disk", .meaning = "block device as the system disk, also at /disk, /disk1 or /dev/disk1", .here = "Windows is installed on it only if it is empty, and else started from it"},
    {PART("DEVICE2"), .option = "disk", .meaning = "block device as a further disk, also at /disk2 or /dev/disk2", .here = FURTHER_DEVICE},
    {PART("DEVICE3"), .option = "disk", .meaning = "the same, also at /disk3 or /dev/disk3", .here = FURTHER_DEVICE},
    {PART("DEVICE4"), .option = "disk", .meaning = "the same, also at /disk4 or /dev/disk4", .here = FURTHER_DEVICE},
    {PART("DEVICE5"), .option = "disk", .meaning = "the same, also at /disk5 or /dev/disk5", .here = FURTHER_DEVICE},
    {PART("DEVICE6"), .option = "disk", .meaning = "the same, also at /disk6 or /dev/disk6", .here = FURTHER_DEVICE},

    {.group = "Network", OWN("NETWORK", variable_network), .fallback = "nat", .option = "net", .meaning = "kind of network, or N for none",
     .here = "nat, where all ports of the container lead into Windows but for its own, with NET_ADMIN and /dev/net/tun; else user mode, which needs no right: port 3389 and those of USER_PORTS"},
    {PART("DHCP"), .fallback = "N", .option = "net", .meaning = "an address of the local network for Windows", .here = "Y is bridge, for a container in a macvlan network"},
    {OPTION("HOST"), .option = "computer", .meaning = "name of the computer"},
    {NOTHING("IP", NULL), .meaning = "address of Windows", .here = "the machine gives it one that is free, and says which; leave it out"},
    {OWN("MAC", variable_mac), .option = "mac", .meaning = "address of the network card"},
    {OWN("ADAPTER", variable_adapter), .fallback = "virtio-net-pci", .option = "profile", .meaning = "network card", .here = "it goes with DISK_TYPE: virtio beside scsi and blk, else an Intel 82574L (e1000e)"},
    {OWN("DEV", variable_interface), .fallback = "eth0", .option = "net-interface", .meaning = "interface that leads out", .here = "without it that of the default route"},
    {NOTHING("MTU", NULL), .meaning = "size of packets", .here = "it is that of the interface that leads out; leave it out"},
    {NOTHING("MASK", "255.255.255.0"), .fallback = "255.255.255.0", .meaning = "mask of the network of Windows", .here = "the machine gives it; leave it out"},
    {NOTHING("TAP", "qemu"), .fallback = "qemu", .meaning = "name of the TAP interface", .here = NO_NAME},
    {NOTHING("BRIDGE", "docker"), .fallback = "docker", .meaning = "name of the bridge", .here = NO_NAME},
    {PART("HOST_PORTS"), .option = "host-port", .meaning = "ports that do not lead into Windows", .here = "what listens in the container keeps its port anyway; in user mode they are left out of --forward; 22, 5000-5010 and 53/udp, separated by commas"},
    {OWN("USER_PORTS", variable_ports), .option = "forward", .meaning = "ports that lead into Windows besides 3389", .here = "in user mode each, at every IPv4 address of the container; with nat all ports do; written as HOST_PORTS"},
    {NOTHING("DNSMASQ_OPTS", NULL), .meaning = "options of dnsmasq", .here = NO_DNSMASQ},
    {NOTHING("DNSMASQ_DEBUG", "N"), .fallback = "N", .meaning = "messages of dnsmasq", .here = NO_DNSMASQ},
    {NOTHING("DNSMASQ_DISABLE", NULL), .fallback = "N", .meaning = "no dnsmasq", .here = NO_DNSMASQ},
    {NOTHING("PASST_OPTS", NULL), .meaning = "options of passt", .here = NO_PASST},
    {NOTHING("PASST_DEBUG", "N"), .fallback = "N", .meaning = "messages of passt", .here = NO_PASST},

    {.group = "Display", WORDS("DISPLAY", "web|:0|vnc|disabled|none"), .fallback = "web", .meaning = "how the screen is shown",
     .here = "vnc adds `--vnc`, which needs PASS or PASS_FILE; disabled is `--web none`; none is `--display none`"},
    {NOTHING("VGA", "virtio"), .fallback = "virtio", .meaning = "graphics adapter", .here = "there is one, which Windows drives by itself; leave it out"},
    {OWN("WIDTH", variable_screen), .fallback = "1280", .option = "display", .meaning = "width of the screen"},
    {PART("HEIGHT"), .fallback = "720", .option = "display", .meaning = "height of the screen"},
    {NOTHING("GPU", "N"), .fallback = "N", .meaning = "use the host's graphics card", .here = NO_GPU},
    {NOTHING("RENDERNODE", "/dev/dri/renderD128"), .fallback = "/dev/dri/renderD128", .meaning = "which of them", .here = NO_GPU},

    {.group = "Web page", PART("WEB"), .fallback = "Y", .option = "web", .meaning = "serve the page", .here = "N is none"},
    {OWN("WEB_PORT", variable_web), .fallback = "8006", .option = "web", .meaning = "port of the page", .here = "at every address of the container"},
    {OWN("VNC_PORT", variable_vnc), .fallback = "5900", .option = "vnc", .meaning = "port for VNC viewers", .here = "only when it is given, or DISPLAY=vnc, with PASS or PASS_FILE"},
    {NOTHING("LOSSY", "N"), .fallback = "N", .meaning = "pictures that are less exact and smaller", .here = "a viewer chooses that for itself; leave it out"},
    {NOTHING("AUDIO", "N"), .fallback = "N", .meaning = "sound in the page", .here = "there is no sound card yet; Remote Desktop brings the sound"},
    {OWN("PROTECT", variable_access), .fallback = "N", .option = "access", .meaning = "ask for a password",
     .here = "Y is password with PASS, or else PASSWORD; N is open; without it the page asks for the token in the storage folder (web-token)"},
    {PART("PASS"), .option = "web-password-file", .meaning = "the page's own password", .here = "and `--access password`; at least 8 characters; for VNC, too", .verbatim = true},
    {PART("PASS_FILE"), .option = "web-password-file", .meaning = "file whose first line is that password", .here = "only here; as PASS"},

    {.group = "Shared folders", PART("SAMBA"), .fallback = "Y", .option = "share", .meaning = "share /shared with Windows", .here = "by WebDAV, without Samba; N shares nothing"},
    {NOTHING("SAMBA_DEBUG", "N"), .fallback = "N", .meaning = "messages of Samba", .here = "there is no Samba; give DEBUG=Y for more messages"},
    {PART("SAMBA_READONLY"), .fallback = "N", .option = "share-readonly", .meaning = "share for reading only"},
    {NOTHING("SHORTCUT", "Y"), .fallback = "Y", .meaning = "drive and shortcut for the share", .here = "it is drive Z: from the first logon on, without a shortcut; disconnect the drive in Windows"},

    {.group = "System", NOTHING("MACHINE", "q35"), .fallback = "q35", .meaning = "QEMU's machine", .here = "the machine is a Q35; leave it out"},
    {NOTHING("PCI_BUS", "pcie.0"), .fallback = "pcie.0", .meaning = "bus that devices are on", .here = NO_CHOICE},
    {NOTHING("RNG", "Y"), .fallback = "Y", .meaning = "device with random numbers", .here = NO_CHOICE},
    {OPTION("UUID"), .option = "uuid", .meaning = "identity of the machine", .here = "without it made once and kept in the storage folder"},
    {NOTHING("HPET", "N"), .fallback = "off", .meaning = "HPET timer", .here = "there is none, and Windows keeps time by Hyper-V's clock; leave it out"},
    {NOTHING("VMPORT", "N"), .fallback = "off", .meaning = "VMware's port", .here = "there is none; leave it out"},
    {NOTHING("MOUSE", "usb-tablet"), .fallback = "usb-tablet", .meaning = "pointing device", .here = "it is a USB tablet, whose pointer is where the viewer's is; leave it out"},
    {NOTHING("SOUND", "intel-hda"), .fallback = "intel-hda", .meaning = "sound card", .here = "there is no sound card yet; Remote Desktop brings the sound"},
    {NOTHING("SM_BIOS", NULL), .meaning = "SMBIOS entries of QEMU", .here = "give UUID for the identity and `--name` (CASEMENT_NAME) for the serial number; others cannot be chosen"},
    {REFUSED("ARGUMENTS", NULL), .meaning = "any options of QEMU", .here = NO_QEMU "; USB devices of the host are not passed through"},
    {PART("TZ"), .fallback = "UTC", .meaning = "time zone of the machine's clock", .here = "as it is; Windows' own time zone is `--time-zone` (CASEMENT_TIME_ZONE)"},

    {.group = "Boot", REFUSED("BOOT_MODE", "windows|windows_plain|uefi"), .fallback = "windows", .meaning = "firmware, with or without Secure Boot and TPM",
     .here = "the firmware is UEFI, without Secure Boot and TPM yet; give windows, which installs without them"},
    {NOTHING("BOOT_INDEX", "9"), .fallback = "9", .meaning = "place of the medium among what is started", .here = "the medium is started while there is no system; leave it out"},
    {NOTHING("MEDIA_TYPE", NULL), .meaning = "device that the medium is in", .here = "the medium is in a CD-ROM drive; leave it out"},
    {NOTHING("USB", "qemu-xhci|qemu-xhci,id=xhci|Y"), .fallback = "qemu-xhci,id=xhci", .meaning = "USB controller", .here = "it is an xHCI; leave it out"},
    {OPTION("BIOS"), .option = "firmware", .meaning = "firmware of one's own", .here = "the code part of an OVMF with 4 MiB"},
    {REFUSED("TPM", "N"), .fallback = "N", .meaning = "emulate a TPM", .here = "there is no TPM yet; leave it out, for Windows is installed without one"},
    {NOTHING("SMM", "N"), .fallback = "N", .meaning = "System Management Mode", .here = "there is none, and nothing here needs it; leave it out"},
    {NOTHING("LOGO", "N"), .fallback = "Y", .meaning = "picture at the start", .here = "the firmware shows its own; leave it out"},
    {NOTHING("CLEAR", "N"), .fallback = "N", .meaning = "forget the firmware's variables", .here = "they are kept; delete vars.fd in the storage folder once instead"},

    {.group = "Ballooning", NOTHING("BALLOONING", "N"), .fallback = "N", .meaning = "give memory back while Windows runs", .here = NO_BALLOON},
    {NOTHING("BALLOONING_MIN_MEM", NULL), .fallback = "33%", .meaning = "the least that Windows keeps", .here = NO_BALLOON},
    {NOTHING("BALLOONING_RAM_THRESHOLD", NULL), .fallback = "80.0", .meaning = "use of the host's memory at which it begins", .here = NO_BALLOON},
    {NOTHING("BALLOONING_RAM_THRESHOLD_HARD", NULL), .fallback = "90.0", .meaning = "at which it takes more", .here = NO_BALLOON},
    {NOTHING("BALLOONING_PSI_PRESSURE", NULL), .fallback = "10.0", .meaning = "pressure at which it takes more", .here = NO_BALLOON},
    {NOTHING("BALLOONING_PSI_PRESSURE_MAX", NULL), .fallback = "50.0", .meaning = "pressure at which it takes most", .here = NO_BALLOON},
    {NOTHING("BALLOONING_HYSTERESIS", NULL), .fallback = "128M", .meaning = "the least change", .here = NO_BALLOON},
    {NOTHING("BALLOONING_KP", NULL), .fallback = "0.5", .meaning = "proportional gain of its control", .here = NO_BALLOON},
    {NOTHING("BALLOONING_KI", NULL), .fallback = "0.05", .meaning = "integral gain", .here = NO_BALLOON},
    {NOTHING("BALLOONING_INTERVAL", NULL), .fallback = "5", .meaning = "seconds between looks", .here = NO_BALLOON},
    {NOTHING("BALLOONING_DEBUG", "N"), .fallback = "N", .meaning = "its messages", .here = NO_BALLOON},

    {.group = "Installation", SWITCH("MANUAL"), .fallback = "N", .option = "manual", .meaning = "answer Setup by hand", .here = "on the page; Windows 11 is told to take the machine as it is"},
    {OPTION("CONNECTIONS"), .fallback = "4", .option = "connections", .meaning = "connections of a download"},
    {NOTHING("MIDO", "Y"), .fallback = "Y", .meaning = "fetch media from Microsoft", .here = "media come from nowhere else; bind one at /custom.iso"},
    {NOTHING("ESD", "N"), .fallback = "Y", .meaning = "fetch media as ESD", .here = "media are fetched as disc images; leave it out"},
    {NOTHING("VERIFY", "Y"), .fallback = "N", .meaning = "compare checksums of downloads", .here = "they are always compared where one is known; leave it out"},
    {SWITCH("REMOVE"), .fallback = "Y", .option = "remove-medium", .meaning = "delete the downloaded medium after installation"},
    {OPTION("COMMAND"), .option = "command", .meaning = "command for the end of the installation", .verbatim = true},

    {.group = "Shutdown", PART("SHUTDOWN"), .fallback = "Y", .option = "stop-timeout", .meaning = "let Windows shut down", .here = "N is 0"},
    {OWN("TIMEOUT", variable_timeout), .fallback = "105", .option = "stop-timeout", .meaning = "seconds that it may take"},

    {.group = "Debugging", SWITCH("DEBUG"), .words = "debug|", .fallback = "N", .option = "log-level", .meaning = "more messages", .here = "Y is debug"},
    {NOTHING("TRACE", "N"), .fallback = "N", .meaning = "trace the shell scripts", .here = "there are no scripts; give DEBUG=Y for more messages"},
    {NOTHING("LOG", "N"), .fallback = "N", .meaning = "keep what install.bat prints", .here = "nothing is kept; let install.bat write its own file"},
    {NOTHING("SERIAL", "mon:stdio|stdio|none"), .fallback = "mon:stdio", .meaning = "serial port of QEMU", .here = "give `--serial` (CASEMENT_SERIAL)"},
    {NOTHING("MONITOR", "N"), .meaning = "monitor of QEMU", .here = "there is none; `casement ctl` and the API control the machine"},
    {NOTHING("QMP", "N"), .meaning = "QEMU's protocol", .here = "there is none; `casement ctl` and the API control the machine"},

    {.group = "Files and folders", PART("/storage"), .option = "state", .meaning = "folder for disks and downloads", .here = "see STORAGE"},
    {PART("/storage2"), .option = "disk", .meaning = "folder of a further disk, up to /storage6", .here = "see DISK2_SIZE; without it the disk has the size of DISK_SIZE"},
    {PART("/disk2"), .option = "disk", .meaning = "block device as a further disk, up to /disk6", .here = "see DEVICE2"},
    {PART("/disk2.img"), .option = "disk", .meaning = "image as a further disk, up to /disk6.img, or with .qcow2", .here = "a device of that number comes before it, and it before the folder"},
    {PART("/disk1.img"), .option = "system-disk", .meaning = "image as the system disk, also /disk.img, or with .qcow2", .here = "a device comes before it, and it before what is in /storage"},
    {PLACE("/start.iso"), .option = "start-disc", .meaning = "disc that is started before all else", .here = "also in the storage folder; nothing is installed as long as it is there"},
    {PART("/custom.iso"), .option = "version", .meaning = "medium to install from", .here = "also /boot.iso, and both in the storage folder"},
    {PLACE("/custom.xml"), .option = "answer-file", .meaning = "answers of one's own", .here = "also in the storage folder; used unchanged"},
    {PLACE("/oem"), .option = "oem", .meaning = "folder that is copied to C:\\OEM, whose install.bat is run", .here = "also in the storage folder"},
    {PLACE("/drivers"), .option = "drivers", .meaning = "drivers for Setup", .here = "only here; also in the storage folder"},
    {PLACE("/drivers.iso"), .option = "drivers", .meaning = "the same as a disc image", .here = "also in the storage folder"},
    {OWN("/shared", variable_share), .option = "share", .meaning = "folder that Windows sees as drive Z:", .here = "at http://10.0.2.4/ for Windows alone; also /data"},
    {PART("/shared2"), .meaning = "a second one, and /shared3", .option = "share", .here = "drives Y: and X:, at http://10.0.2.4:81/ and :82/; the first that is there is Z:"},
};
/* clang-format on */

const size_t container_variable_count = ARRAY_SIZE(container_variables);
