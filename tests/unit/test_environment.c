/* The variables of dockurr/windows: every one of the table has an effect here, or a line that says why not. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "casement/bytes.h"
#include "cmocka_all.h"
#include "fake_environment.h"

/* What a list of variables comes to: an option, what is said about it, or both; a `says` that begins with ! is refused.
 * Neither: nothing but what comes without variables. */
static const struct {
    const char *name, *variables, *gives, *says, *files;
} cases[] = {
    {"VERSION", "VERSION=10", "version=10 VERSION", NULL, NULL},
    {"VERSION", "VERSION=\"2022\"", "version=2022 VERSION", NULL, NULL},
    {"VERSION", "VERSION=11", "version=/boot.iso -", NULL, "boot.iso"},
    {"VERSION", "VERSION=11;STORAGE=/elsewhere", "version=/elsewhere/custom.iso -", NULL, "elsewhere/custom.iso"},
    {"/custom.iso", "VERSION=11", "version=/custom.iso -", NULL, "custom.iso boot.iso"},
    {"/custom.iso", "VERSION=11", NULL, "!/custom.iso: is a folder", "custom.iso/"},
    {"/custom.iso", "VERSION=11", "version=11 VERSION", "/custom.iso: is a folder", "custom.iso/ storage/data.img"},
    {"EDITION", "EDITION= core ", "edition=core EDITION", NULL, NULL},
    {"LANGUAGE", "LANGUAGE=de-DE", "language=de-DE LANGUAGE", NULL, NULL},
    {"REGION", "REGION=fr-FR", "region=fr-FR REGION", NULL, NULL},
    {"KEYBOARD", "KEYBOARD=en-GB", "keyboard-locale=en-GB KEYBOARD", NULL, NULL},
    {"KEY", "KEY=A-B", "key=A-B KEY", NULL, NULL},
    {"KEY_FILE", "KEY_FILE=/run/key", "key-file=/run/key KEY_FILE", NULL, NULL},
    {"KEY_FILE", "KEY_FILE=/run/key;KEY=A", NULL, "!KEY_FILE: KEY is given as well", NULL},
    {"USERNAME", "USERNAME=bill", "user=bill USERNAME", NULL, NULL},
    {"USERNAME", "USERNAME=bill;DOMAIN=a.b", "domain-user=bill USERNAME", NULL, NULL},
    {"USERNAME", "USERNAME=bill;DOMAIN=a.b;DOMAIN_USER=x", "user=bill USERNAME", NULL, NULL},
    {"PASSWORD", "PASSWORD= \"x\" ", "password= \"x\"  PASSWORD", NULL, NULL},
    {"PASSWORD", "PASSWORD=x;DOMAIN=a.b", "domain-password=x PASSWORD", NULL, NULL},
    {"PASSWORD", "PASSWORD=x;DOMAIN=a.b", "password=x PASSWORD", NULL, NULL},
    {"PASSWORD_FILE", "PASSWORD_FILE=/s", "password-file=/s PASSWORD_FILE", NULL, NULL},
    {"PASSWORD_FILE", "PASSWORD_FILE=/s;DOMAIN=a", "domain-password-file=/s PASSWORD_FILE", NULL, NULL},
    {"PASSWORD_FILE", "PASSWORD_FILE=/s;PASSWORD=", "password-file=/s PASSWORD_FILE", NULL, NULL},
    {"PASSWORD_FILE", "PASSWORD_FILE=/s;PASSWORD=x", NULL, "!PASSWORD_FILE: PASSWORD is given as well", NULL},
    {"AUTOLOGIN", "AUTOLOGIN=no", "autologon=off AUTOLOGIN", NULL, NULL},
    {"AUTOLOGIN", "AUTOLOGIN=maybe", NULL, "!AUTOLOGIN maybe: not one of its values; give Y or N", NULL},
    {"DOMAIN", "DOMAIN=a.b", "domain=a.b DOMAIN", NULL, NULL},
    {"DOMAIN_OU", "DOMAIN_OU=OU=x", "domain-ou=OU=x DOMAIN_OU", NULL, NULL},
    {"DOMAIN_USER", "DOMAIN_USER=x", "domain-user=x DOMAIN_USER", NULL, NULL},
    {"DOMAIN_PASSWORD", "DOMAIN=a;PASSWORD=y;DOMAIN_PASSWORD=x", "password=y PASSWORD", NULL, NULL},
    {"DOMAIN_PASSWORD", "DOMAIN_PASSWORD=x", "domain-password=x DOMAIN_PASSWORD", NULL, NULL},
    {"DOMAIN_PASSWORD_FILE", "DOMAIN_PASSWORD_FILE=/x", "domain-password-file=/x DOMAIN_PASSWORD_FILE", NULL, NULL},
    {"DOMAIN_PASSWORD_FILE", "DOMAIN_PASSWORD_FILE=/x;DOMAIN_PASSWORD=y", NULL, "!DOMAIN_PASSWORD is given as", NULL},
    {"WORKGROUP", "WORKGROUP=W", "workgroup=W WORKGROUP", NULL, NULL},

    {"CPU_CORES", "CPU_CORES=3", "cpus=3 CPU_CORES", NULL, NULL},
    {"CPU_CORES", "CPU_CORES=half", "cpus=2 CPU_CORES", NULL, NULL},
    {"CPU_CORES", "CPU_CORES=MAX", "cpus=4 CPU_CORES", NULL, NULL},
    {"CPU_CORES", "CPU_CORES=6", "cpus=6 CPU_CORES", "limit is the time of 4", NULL},
    {"CPU_CORES", "CPU_CORES=20", "cpus=8 CPU_CORES", "8 processors", NULL},
    {"CPU_CORES", "CPU_CORES=0", NULL, "!CPU_CORES 0: not one of its values; give a number, half, or max", NULL},
    {"CPU_CORES", "CPU_CORES=2x", NULL, "!CPU_CORES 2x", NULL},
    {"VMX", "VMX=Y", "nested=on VMX", NULL, NULL},
    {"HV", "HV=false", "hyperv=off HV", NULL, NULL},
    {"RAM_SIZE", "RAM_SIZE=4", "memory=4096M RAM_SIZE", NULL, NULL},
    {"RAM_SIZE", "RAM_SIZE=2048", "memory=2048M RAM_SIZE", NULL, NULL},
    {"RAM_SIZE", "RAM_SIZE=4 GB", "memory=4096M RAM_SIZE", NULL, NULL},
    {"RAM_SIZE", "RAM_SIZE=1.5gib", "memory=1536M RAM_SIZE", NULL, NULL},
    {"RAM_SIZE", "RAM_SIZE=513M", "memory=512M RAM_SIZE", NULL, NULL},
    {"RAM_SIZE", "RAM_SIZE=max", "memory=7680M RAM_SIZE", NULL, NULL},
    {"RAM_SIZE", "RAM_SIZE=half", "memory=3840M RAM_SIZE", NULL, NULL},
    {"RAM_SIZE", "RAM_SIZE=16G", "memory=7680M RAM_SIZE", "RAM_SIZE 16G: 7680M can be had", NULL},
    {"RAM_SIZE", "RAM_SIZE=much", NULL, "!RAM_SIZE much: not one of its values; give a size such as 4G", NULL},
    {"RAM_SIZE", "RAM_SIZE=4Q", NULL, "!RAM_SIZE 4Q", NULL},
    {"RAM_SIZE", "RAM_SIZE=1.2.3G", NULL, "!RAM_SIZE 1.2.3G", NULL},
    {"RAM_SIZE", "RAM_SIZE=0x10G", NULL, "!RAM_SIZE 0x10G", NULL},
    {"RAM_SIZE", "RAM_SIZE=-1G", NULL, "!RAM_SIZE -1G", NULL},
    {"RAM_SIZE", "RAM_SIZE=1e30", NULL, "!RAM_SIZE 1e30", NULL},
    {"RAM_CHECK", "RAM_SIZE=16G;RAM_CHECK=N", "memory=16384M RAM_SIZE", NULL, NULL},
    {"RAM_CHECK", "RAM_CHECK=x", NULL, "!RAM_CHECK x", NULL},

    {"DISK_SIZE", "DISK_SIZE=128", "disk-size=131072M DISK_SIZE", NULL, NULL},
    {"DISK_SIZE", "DISK_SIZE=64 gb", "disk-size=65536M DISK_SIZE", NULL, NULL},
    {"DISK_SIZE", "DISK_SIZE=1K", NULL, "!DISK_SIZE 1K: less than 1M", NULL},
    {"DISK_SIZE", "DISK_SIZE=big", NULL, "!DISK_SIZE big", NULL},
    {"DISK_SIZE", "DISK_SIZE=max", NULL, NULL, "storage/data.img"},
    {"DISK_SIZE", "DISK_SIZE=half;STORAGE=/none", NULL, "!DISK_SIZE half: ", NULL},
    {"DISK_FMT", "DISK_FMT=QCOW2", "disk-format=qcow2 DISK_FMT", NULL, NULL},
    {"DISK_FMT", "DISK_FMT=raw", "disk-format=raw DISK_FMT", NULL, "storage/data.qcow2"},
    {"DISK_FMT", "", "disk-format=qcow2 -", NULL, "storage/data.qcow2"},
    {"DISK_FMT", "DISK_FMT=vmdk", NULL, "!DISK_FMT vmdk: not one of its values; give raw or qcow2", NULL},
    {"DISK_TYPE", "DISK_TYPE=nvme", NULL, NULL, NULL},
    {"DISK_TYPE", "DISK_TYPE=scsi", "profile=scsi DISK_TYPE", NULL, "drivers/x.inf"},
    {"DISK_TYPE", "DISK_TYPE=virtio-scsi;DEVICE2=/dev/b", "disk=/dev/b,bus=scsi DEVICE2", NULL, "drivers/x *dev/b"},
    {"DISK_TYPE", "DISK_TYPE=scsi;DEVICE2=/dev/b", "disk=/dev/b,bus=nvme DEVICE2", "so the disk is NVMe", "*dev/b"},
    {"DISK_TYPE", "DISK_TYPE=BLK", "profile=virtio DISK_TYPE", NULL, "drivers.iso"},
    {"DISK_TYPE", "DISK_TYPE=blk", NULL, "DISK_TYPE blk: Windows has no driver", NULL},
    {"DISK_TYPE", "DISK_TYPE=sata;DEVICE2=/dev/b", "disk=/dev/b,bus=ahci DEVICE2", NULL, "*dev/b"},
    {"DISK_TYPE", "DISK_TYPE=ide", "profile=ahci DISK_TYPE", NULL, NULL},
    {"DISK_TYPE", "DISK_TYPE=usb", NULL, "DISK_TYPE usb: the system disk is NVMe", NULL},
    {"DISK_TYPE", "DISK_TYPE=scsi", "profile=scsi DISK_TYPE", NULL, "storage/data.img"},
    {"DISK_TYPE", "DISK_TYPE=floppy", NULL, "!DISK_TYPE floppy", NULL},
    {"DISK_IO", "DISK_IO=native", "io-engine=auto DISK_IO", NULL, NULL},
    {"DISK_IO", "DISK_IO=io_uring", "io-engine=io_uring DISK_IO", NULL, NULL},
    {"DISK_IO", "DISK_IO=magic", NULL, "!DISK_IO magic: not one of its values; give native, io_uring, threads", NULL},
    {"STORAGE", "STORAGE=/data", "state=/data STORAGE", NULL, NULL},
    {"STORAGE", "STORAGE=data", NULL, "!STORAGE data: not a path", NULL},
    {"/storage", "", "state=/storage -", NULL, NULL},
    {"DISK2_SIZE", "DISK2_SIZE=32G", NULL, "DISK2_SIZE 32G: there is no folder", NULL},
    {"DISK2_SIZE", "DISK2_SIZE=32G", "disk=/storage2/data2.img,bus=nvme DISK2_SIZE", NULL, "storage2/"},
    {"DISK2_SIZE", "", "disk=/storage2/data2.qcow2,bus=nvme,format=qcow2 DISK2_SIZE", NULL, "storage2/data2.qcow2"},
    {"DISK2_SIZE", "DISK2_SIZE=x", NULL, "!DISK2_SIZE x", "storage2/"},
    {"DISK3_SIZE", "DISK3_SIZE=1G", "disk=/storage3/data3.img,bus=nvme DISK3_SIZE", NULL, "storage3/"},
    {"DISK4_SIZE", "DISK4_SIZE=1G", "disk=/storage4/data4.img,bus=nvme DISK4_SIZE", NULL, "storage4/"},
    {"DISK5_SIZE", "DISK5_SIZE=1G", "disk=/storage5/data5.img,bus=nvme DISK5_SIZE", NULL, "storage5/"},
    {"DISK6_SIZE", "DISK6_SIZE=1G", "disk=/storage6/data6.img,bus=nvme DISK6_SIZE", NULL, "storage6/"},
    {"/storage2", "DISK_FMT=qcow2", "disk=/storage2/data2.qcow2,bus=nvme,format=qcow2 DISK2_SIZE", NULL, "storage2/"},
    {"DEVICE", "DEVICE=/dev/b", NULL, "!DEVICE /dev/b: no block device", "dev/b"},
    {"DEVICE", "DEVICE=/dev/b", "system-disk=/dev/b DEVICE", NULL, "*dev/b disk1.img"},
    {"DEVICE", "", "system-disk=/disk1 DEVICE", NULL, "*disk1 storage/data.img"},
    {"DEVICE", "DISK_SIZE=max", "system-disk=/dev/disk1 DEVICE", NULL, "*dev/disk1"},
    {"DEVICE", "DISK_SIZE=80G", "disk-size=81920M DISK_SIZE", NULL, "*dev/disk1"},
    {"DEVICE", "", "system-disk=/disk -", NULL, "*disk disk.img"},
    {"DEVICE2", "DEVICE2=/dev/b", "disk=/dev/b,bus=nvme DEVICE2", NULL, "*dev/b"},
    {"DEVICE2", "DEVICE2=/dev/b,c", "disk=/dev/b,,c,bus=nvme DEVICE2", NULL, "*dev/b,c"},
    {"DEVICE2", "DEVICE2=/dev/b", NULL, "!DEVICE2 /dev/b: no block device", NULL},
    {"DEVICE3", "DEVICE3=/dev/b", "disk=/dev/b,bus=nvme DEVICE3", NULL, "*dev/b storage3/"},
    {"DEVICE4", "DEVICE4=/dev/b;DISK_TYPE=usb", "disk=/dev/b,bus=usb DEVICE4", "on USB", "*dev/b"},
    {"DEVICE5", "DEVICE5=/dev/b;DISK_CACHE=writeback", "disk=/dev/b,bus=nvme,cache=host DEVICE5", NULL, "*dev/b"},
    {"DISK_CACHE", "DISK_CACHE=unsafe", "disk-cache=host DISK_CACHE", NULL, NULL},
    {"DISK_CACHE", "DISK_CACHE=directsync", "disk-cache=none DISK_CACHE", NULL, NULL},
    {"DISK_CACHE", "DISK_CACHE=some", NULL, "!DISK_CACHE some: not one of its values; give none, ", NULL},
    {"DEVICE6", "", "disk=/dev/disk6,bus=nvme DEVICE6", NULL, "*dev/disk6"},
    {"/disk2", "", "disk=/disk2,bus=nvme DEVICE2", NULL, "*disk2"},
    {"/disk2", "", NULL, NULL, "disk2"},
    {"/disk2.img", "", "disk=/disk2.img,bus=nvme -", NULL, "disk2.img storage2/"},
    {"/disk2.img", "DISK_TYPE=sata", "disk=/disk6.qcow2,bus=ahci,format=qcow2 -", NULL, "disk6.qcow2"},
    {"/disk2.img", "", "disk=/disk2,bus=nvme DEVICE2", NULL, "*disk2 disk2.img"},
    {"/disk2.img", "", NULL, "!/disk2.img: is a folder", "disk2.img/"},
    {"/disk1.img", "", "system-disk=/disk1.img -", NULL, "disk1.img"},
    {"/disk1.img", "DISK_SIZE=half", "system-disk=/disk.qcow2 -", NULL, "disk.qcow2"},
    {"/disk1.img", "", NULL, "!/disk.img: is a folder", "disk.img/"},
    {"/start.iso", "", "start-disc=/start.iso -", NULL, "start.iso"},
    {"/start.iso", "", "start-disc=/storage/start.iso -", NULL, "storage/start.iso"},

    {"NETWORK", "NETWORK=N", "net=none NETWORK", NULL, NULL},
    {"NETWORK", "NETWORK=nat", "forward=0.0.0.0:3389:3389 -",
     "NETWORK: in user mode, where ports 3389 and those of USER_PORTS lead into Windows, for --net nat: a right", NULL},
    {"DHCP", "DHCP=Y;USER_PORTS=22", "net=bridge DHCP", NULL, NULL},
    {"DHCP", "DHCP=Y;NETWORK=N", "net=none NETWORK", NULL, NULL},
    {"DHCP", "DHCP=Y;DEV=eth1", "net-interface=eth1 DEV", "is not shared, for Windows is in a network of others",
     "shared/"},
    {"DHCP", "DHCP=x", NULL, "!DHCP x", NULL},
    {"DEV", "DEV=eth1", NULL, NULL, NULL},
    {"NETWORK", "NETWORK=user", NULL, NULL, NULL},
    {"NETWORK", "NETWORK=bridge0", NULL, "!NETWORK bridge0: not one of its values", NULL},
    {"HOST", "HOST=pc", "computer=pc HOST", NULL, NULL},
    {"MAC", "MAC=02-11-22-33-44-55", "mac=02:11:22:33:44:55 MAC", NULL, NULL},
    {"ADAPTER", "ADAPTER=virtio-net-pci", "drivers=/storage/drivers -",
     "ADAPTER virtio-net-pci: the card goes with the disks, so it is an Intel", "storage/drivers/x"},
    {"ADAPTER", "ADAPTER=virtio-net-pci;DISK_TYPE=scsi", "profile=scsi DISK_TYPE", NULL, "storage/drivers/x"},
    {"ADAPTER", "ADAPTER=e1000e;DISK_TYPE=blk", "profile=virtio DISK_TYPE",
     "ADAPTER e1000e: the card goes with the disks, so it is virtio", "storage/drivers/x"},
    {"ADAPTER", "ADAPTER=rtl8139", NULL, "ADAPTER rtl8139: there is no such card", NULL},
    {"ADAPTER", "ADAPTER=e1000e", NULL, NULL, NULL},
    {"HOST_PORTS", "HOST_PORTS=22;USER_PORTS=22,23", "forward=0.0.0.0:23:23 USER_PORTS", "USER_PORTS 22: the", NULL},
    {"HOST_PORTS", "HOST_PORTS=3389", "forward=0.0.0.0:3389:3389/udp -", "HOST_PORTS 3389: the container keeps", NULL},
    {"USER_PORTS", "USER_PORTS=22, 80", "forward=0.0.0.0:80:80 USER_PORTS", NULL, NULL},
    {"USER_PORTS", "USER_PORTS=53/udp", "forward=0.0.0.0:53:53/udp USER_PORTS", NULL, NULL},
    {"USER_PORTS", "USER_PORTS=5000-5010/tcp", "forward=0.0.0.0:5010:5010 USER_PORTS", NULL, NULL},
    {"USER_PORTS", "USER_PORTS=3389", NULL, NULL, NULL},
    {"USER_PORTS", "USER_PORTS=8006", NULL, "USER_PORTS 8006: the container keeps port 8006", NULL},
    {"USER_PORTS", "USER_PORTS=1000-1061", "forward=0.0.0.0:1061:1061 USER_PORTS", NULL, NULL},
    {"USER_PORTS", "USER_PORTS=1000-1062", NULL, "!USER_PORTS 1000-1062: more than 64 ports", NULL},
    {"USER_PORTS", "USER_PORTS=1-65535", NULL, "!USER_PORTS 1-65535: more than 64", NULL},
    {"USER_PORTS", "USER_PORTS=70000", NULL, "!USER_PORTS 70000: not one of its values; give ports", NULL},
    {"USER_PORTS", "USER_PORTS=20-10", NULL, "!USER_PORTS 20-10", NULL},
    {"USER_PORTS", "USER_PORTS=22/sctp", NULL, "!USER_PORTS 22/sctp", NULL},
    {"USER_PORTS", "USER_PORTS=0", NULL, "!USER_PORTS 0", NULL},

    {"DISPLAY", "DISPLAY=:0", NULL, NULL, NULL},
    {"DISPLAY", "DISPLAY=vnc", NULL, "DISPLAY vnc: a VNC port needs a password", NULL},
    {"DISPLAY", "DISPLAY=disabled", "web=none DISPLAY", NULL, NULL},
    {"DISPLAY", "DISPLAY=none;WIDTH=800", "display=none DISPLAY", NULL, NULL},
    {"DISPLAY", "DISPLAY=gtk", NULL, "!DISPLAY gtk: not one of its values; give web, :0, vnc, disabled, none", NULL},
    {"WIDTH", "WIDTH=1920", "display=1920x720 WIDTH", NULL, NULL},
    {"WIDTH", "WIDTH=1366;HEIGHT=768", "display=1360x768 WIDTH", "WIDTH 1366: the screen's width", NULL},
    {"WIDTH", "WIDTH=wide", NULL, "!WIDTH wide: not one of its values; give a number of pixels", NULL},
    {"HEIGHT", "HEIGHT=1024", "display=1280x1024 HEIGHT", NULL, NULL},
    {"HEIGHT", "HEIGHT=20000", NULL, "!HEIGHT 20000", NULL},
    {"WEB", "WEB=N", "web=none WEB", NULL, NULL},
    {"WEB", "WEB=maybe", NULL, "!WEB maybe", NULL},
    {"WEB_PORT", "WEB_PORT=80", "web=0.0.0.0:80 WEB_PORT", NULL, NULL},
    {"WEB_PORT", "", "web=0.0.0.0:8006 -", NULL, NULL},
    {"WEB_PORT", "WEB_PORT=0", NULL, "!WEB_PORT 0: not one of its values; give a port from 1 to 65535", NULL},
    {"VNC_PORT", "VNC_PORT=5901;PASS_FILE=/p", "vnc=0.0.0.0:5901 VNC_PORT", NULL, NULL},
    {"VNC_PORT", "VNC_PORT=5901;PASS_FILE=/p", "vnc-password-file=/p PASS_FILE", NULL, NULL},
    {"VNC_PORT", "VNC_PORT=5901;PASSWORD=secret", "password=secret PASSWORD",
     "VNC_PORT 5901: a VNC port needs a password", NULL},
    {"VNC_PORT", "VNC_PORT=x", NULL, "!VNC_PORT x", NULL},
    {"PROTECT", "PROTECT=N", "access=open PROTECT", "PROTECT N: whoever reaches", NULL},
    {"PROTECT", "PROTECT=Y", NULL, "PROTECT Y: no password is given", NULL},
    {"PROTECT", "PROTECT=Y;PASSWORD=admin", "password=admin PASSWORD", "PASSWORD: the password has less than 8", NULL},
    {"PROTECT", "PROTECT=Y;PASSWORD=long enough", "access=password PASSWORD", NULL, NULL},
    {"PROTECT", "PROTECT=Y;PASSWORD_FILE=/s", "web-password-file=/s PASSWORD_FILE", NULL, NULL},
    {"PROTECT", "PROTECT=x", NULL, "!PROTECT x", NULL},
    {"PASS", "PROTECT=N;PASS=long enough", "access=password PASS", NULL, NULL},
    {"PASS_FILE", "PASS_FILE=/s", "web-password-file=/s PASS_FILE", NULL, NULL},
    {"PASS_FILE", "PASS_FILE=/s;PASS=long enough", NULL, "!PASS_FILE: PASS is given as well", NULL},

    {"ARGUMENTS", "ARGUMENTS=-device usb-host", NULL, "!`casement config --reference` lists; USB devices", NULL},
    {"UUID", "UUID=x", "uuid=x UUID", NULL, NULL},
    {"TZ", "TZ=Europe/Paris", NULL, NULL, NULL},
    {"BIOS", "BIOS=/fw.fd", "firmware=/fw.fd BIOS", NULL, NULL},
    {"MANUAL", "MANUAL=Y", "manual=on MANUAL", NULL, NULL},
    {"MANUAL", "MANUAL=N", "manual=off MANUAL", NULL, NULL},
    {"CONNECTIONS", "CONNECTIONS=8", "connections=8 CONNECTIONS", NULL, NULL},
    {"REMOVE", "REMOVE=N", "remove-medium=off REMOVE", NULL, NULL},
    {"COMMAND", "COMMAND=\"a b\" ", "command=\"a b\"  COMMAND", NULL, NULL},
    {"SHUTDOWN", "SHUTDOWN=N;TIMEOUT=9", "stop-timeout=0 SHUTDOWN", NULL, NULL},
    {"SHUTDOWN", "SHUTDOWN=x", NULL, "!SHUTDOWN x", NULL},
    {"TIMEOUT", "TIMEOUT=60", "stop-timeout=60 TIMEOUT", NULL, NULL},
    {"DEBUG", "DEBUG=1", "log-level=debug DEBUG", NULL, NULL},
    {"DEBUG", "DEBUG=N", NULL, NULL, NULL},
    {"/custom.xml", "", "answer-file=/custom.xml -", NULL, "custom.xml storage/custom.xml"},
    {"/oem", "", "oem=/storage/oem -", NULL, "storage/oem/install.bat"},
    {"/drivers", "", "drivers=/drivers -", NULL, "drivers/x"},
    {"/drivers.iso", "", "drivers=/drivers.iso -", NULL, "drivers.iso"},
    {"/shared", "", "share=/shared -", NULL, "shared/ data/"},
    {"/shared", "", "share=/data -", NULL, "data/"},
    {"/shared", "NETWORK=N;SAMBA=Y", "net=none NETWORK", NULL, "shared/"},
    {"/shared2", "", "share=/shared2 -", NULL, "shared/ shared2/"},
    {"/shared2", "", "share=/data3 -", NULL, "data3/"},
    {"/shared2", "SAMBA_READONLY=Y", "share-readonly=on SAMBA_READONLY", NULL, "shared3/"},
    {"/shared2", "DHCP=Y", "net=bridge DHCP", "/shared2 is not shared, for Windows", "shared2/"},
    {"SAMBA", "SAMBA=N", NULL, NULL, "shared/"},
    {"SAMBA", "SAMBA=x", NULL, "!SAMBA x: not one of its values", "shared/"},
    {"SAMBA_READONLY", "SAMBA_READONLY=Y", "share-readonly=on SAMBA_READONLY", NULL, "shared/"},
    {"SAMBA_READONLY", "SAMBA_READONLY=Y", NULL, NULL, NULL},
    {"SHORTCUT", "SHORTCUT=N", NULL, "SHORTCUT N: it is drive Z:", NULL},
};

static void check_case(size_t n)
{
    char files[128], *rest = files, *file;
    int result;

    snprintf(files, sizeof files, "%s", cases[n].files ? cases[n].files : "");
    while ((file = strsep(&rest, " ")))
        if (*file)
            fake_make(file);
    result = fake_variables(cases[n].variables);
    if (cases[n].says && *cases[n].says == '!') {
        if (result >= 0 || !strstr(fake_error.text, cases[n].says + 1) || strchr(fake_error.text, '\n'))
            fail_msg("%s: %d \"%s\", not \"%s\"", cases[n].variables, result, fake_error.text, cases[n].says);
        return;
    }
    if (result < 0)
        fail_msg("%s: %s", cases[n].variables, fake_error.text);
    if (cases[n].gives && !fake_gives(cases[n].gives))
        fail_msg("%s: no \"%s\" in\n%s", cases[n].variables, cases[n].gives, fake_given);
    if (cases[n].says && !fake_warns(cases[n].says))
        fail_msg("%s: no warning \"%s\"", cases[n].variables, cases[n].says);
    if (!cases[n].says && fake_warnings())
        fail_msg("%s: %s", cases[n].variables, fake_settings.warnings[fake_settings.warning_count - 1]);
    /* Folder, page, and Remote Desktop by TCP and UDP. */
    if (!cases[n].gives && fake_settings.option_count != 4)
        fail_msg("%s: gives\n%s", cases[n].variables, fake_given);
}

static void every_case_comes_to_what_it_should(void **state)
{
    for (size_t n = 0; n < ARRAY_SIZE(cases); n++) {
        fake_container();
        check_case(n);
        assert_int_equal(fake_environment_remove(state), 0);
        assert_int_equal(fake_folder_make(state), 0);
    }
}

static bool has_case(const char *name)
{
    for (size_t n = 0; n < ARRAY_SIZE(cases); n++)
        if (!strcmp(cases[n].name, name))
            return true;
    return false;
}

/* A variable without meaning says so in a line that begins with it, and is silent about what is so anyway. */
static void check_nothing(const struct variable *variable)
{
    char text[256], beginning[128];

    snprintf(text, sizeof text, "%s=something", variable->name);
    snprintf(beginning, sizeof beginning, "%s something: %s", variable->name, variable->here);
    if (variable->kind == VARIABLE_REFUSED) {
        assert_int_equal(fake_variables(text), -EINVAL);
        assert_non_null(strstr(fake_error.text, beginning));
    } else {
        assert_int_equal(fake_variables(text), 0);
        assert_int_equal(fake_settings.option_count, 4);
        assert_int_equal(fake_warnings(), 1);
        assert_true(fake_warns(beginning));
    }
    for (const char *word = variable->words; word; word = strchr(word, '|') ? strchr(word, '|') + 1 : NULL) {
        snprintf(text, sizeof text, "%s=%.*s", variable->name, (int)strcspn(word, "|"), word);
        assert_int_equal(fake_variables(text), 0);
        assert_int_equal(fake_warnings(), 0);
    }
}

static void every_variable_has_a_case_or_a_reason(void **state)
{
    (void)state;
    fake_container();
    for (size_t n = 0; n < container_variable_count; n++) {
        const struct variable *variable = &container_variables[n];

        if (variable->kind == VARIABLE_NOTHING || variable->kind == VARIABLE_REFUSED)
            check_nothing(variable);
        else if (!has_case(variable->name))
            fail_msg("%s: no case", variable->name);
        for (size_t other = 0; other < n; other++)
            assert_string_not_equal(variable->name, container_variables[other].name);
        assert_true(variable->meaning && (variable->option || variable->here));
    }
}

static void every_option_is_one(void **state)
{
    (void)state;
    for (size_t n = 0; n < container_variable_count; n++) {
        const struct variable *variable = &container_variables[n];
        struct config config;

        if (!variable->option)
            continue;
        options_parse_with(&config, OPTIONS_WINDOWS, &(struct option_value){variable->option, "", variable->name}, 1, 0,
                           NULL, &fake_error);
        config_free(&config);
        if (strstr(fake_error.text, "does not have"))
            fail_msg("%s", fake_error.text);
    }
}

static void errors_of_options_name_the_variable(void **state)
{
    struct config config;

    (void)state;
    fake_container();
    assert_int_equal(fake_variables("TIMEOUT=soon"), 0);
    fake_refused(&fake_error,
                 options_parse_with(&config, OPTIONS_WINDOWS, fake_settings.options, fake_settings.option_count, 0,
                                    NULL, &fake_error),
                 EINVAL, "TIMEOUT soon: not a whole number", "0 to 86400");
    config_free(&config);
}

/* Yes and no as dockurr/windows takes them. */
static void yes_and_no_have_many_words(void **state)
{
    static const char *const yes[] = {"Y", "y", "yes", "TRUE", "1", "on", "Enable", "enabled", " 'y' "};
    static const char *const no[] = {"N", "n", "No", "none", "false", "0", "off", "disable", "DISABLED"};
    char text[64];

    (void)state;
    fake_container();
    for (size_t n = 0; n < ARRAY_SIZE(yes); n++) {
        snprintf(text, sizeof text, "VMX=%s", yes[n]);
        assert_int_equal(fake_variables(text), 0);
        assert_true(fake_gives("nested=on VMX"));
        snprintf(text, sizeof text, "VMX=%s", no[n]);
        assert_int_equal(fake_variables(text), 0);
        assert_true(fake_gives("nested=off VMX"));
        /* The same words say that a thing without meaning is not wanted. */
        snprintf(text, sizeof text, "TPM=%s", no[n]);
        assert_int_equal(fake_variables(text), 0);
    }
}

/* docs/container.md is what `make docs` writes. The test runs in the tree's root. */
static void the_reference_in_docs_is_up_to_date(void **state)
{
    char *text = NULL, *file = NULL;
    size_t size = 0, file_size = 0;
    FILE *out = open_memstream(&text, &size), *in = fopen("docs/container.md", "re");

    (void)state;
    assert_non_null(out);
    container_reference(out);
    fclose(out);
    assert_non_null(in);
    assert_true(getdelim(&file, &file_size, 0, in) > 0);
    fclose(in);
    if (strcmp(text, file) != 0)
        fail_msg("docs/container.md is not what the table says; run `make docs`");
    for (size_t n = 0; n < container_variable_count; n++)
        assert_non_null(strstr(text, container_variables[n].name));
    free(text);
    free(file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_PLACE(every_case_comes_to_what_it_should),
        IN_PLACE(every_variable_has_a_case_or_a_reason),
        IN_PLACE(every_option_is_one),
        IN_PLACE(errors_of_options_name_the_variable),
        IN_PLACE(yes_and_no_have_many_words),
        IN_PLACE(the_reference_in_docs_is_up_to_date),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
