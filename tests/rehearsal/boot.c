/*
 * The boot program of a rehearsal's medium: asks for a key as that of an installation medium does, and then starts
 * Linux (SETUP.EFI in the same volume). Without a key it returns an error, so that the firmware goes on to what is next
 * in its order. It is made with gnu-efi's headers alone; the types of its calls have
 * the firmware's convention (-DGNU_EFI_USE_MS_ABI).
 */
#include <efi.h>

#define DOTS 5
#define SECOND_100NS 10000000ULL
#define PROGRAM L"\\EFI\\MICROSOFT\\BOOT\\SETUP.EFI"

static EFI_GUID loaded_image_id = EFI_LOADED_IMAGE_PROTOCOL_GUID;
static EFI_GUID device_path_id = EFI_DEVICE_PATH_PROTOCOL_GUID;

static void say(EFI_SYSTEM_TABLE *system, const CHAR16 *text)
{
    system->ConOut->OutputString(system->ConOut, (CHAR16 *)text);
}

/* A key, within that many seconds with a dot after each? Keys from before the question do not count. */
static BOOLEAN key_pressed(EFI_SYSTEM_TABLE *system)
{
    EFI_BOOT_SERVICES *boot = system->BootServices;
    EFI_EVENT events[2] = {system->ConIn->WaitForKey, NULL};
    EFI_INPUT_KEY key;
    BOOLEAN pressed = FALSE;
    UINTN which, dots = 0;

    if (boot->CreateEvent(EVT_TIMER, 0, NULL, NULL, &events[1]) != EFI_SUCCESS)
        return FALSE;
    boot->SetTimer(events[1], TimerPeriodic, SECOND_100NS);
    system->ConIn->Reset(system->ConIn, FALSE);
    say(system, L"Press any key to boot from CD or DVD.");
    while (!pressed && dots < DOTS && boot->WaitForEvent(2, events, &which) == EFI_SUCCESS) {
        if (which == 0) {
            pressed = system->ConIn->ReadKeyStroke(system->ConIn, &key) == EFI_SUCCESS;
        } else {
            say(system, L".");
            dots++;
        }
    }
    boot->CloseEvent(events[1]);
    say(system, L"\r\n");
    return pressed;
}

static UINTN node_length(const EFI_DEVICE_PATH *node)
{
    return node->Length[0] | (UINTN)node->Length[1] << 8;
}

static void set_node(UINT8 *node, UINT8 type, UINT8 subtype, UINTN length)
{
    node[0] = type;
    node[1] = subtype;
    node[2] = (UINT8)length;
    node[3] = (UINT8)(length >> 8);
}

/* The path of a file in the volume that this program came from; the caller's to free. */
static EFI_DEVICE_PATH *path_of(EFI_BOOT_SERVICES *boot, EFI_HANDLE volume, const CHAR16 *file, UINTN file_size)
{
    EFI_DEVICE_PATH *device, *node;
    UINTN length;
    VOID *path;

    if (boot->HandleProtocol(volume, &device_path_id, (VOID **)&device) != EFI_SUCCESS)
        return NULL;
    for (node = device; node->Type != END_DEVICE_PATH_TYPE;)
        node = (EFI_DEVICE_PATH *)((UINT8 *)node + node_length(node));
    length = (UINTN)((UINT8 *)node - (UINT8 *)device);
    if (boot->AllocatePool(EfiLoaderData, length + 4 + file_size + 4, &path) != EFI_SUCCESS)
        return NULL;
    boot->CopyMem(path, device, length);
    set_node((UINT8 *)path + length, MEDIA_DEVICE_PATH, MEDIA_FILEPATH_DP, 4 + file_size);
    boot->CopyMem((UINT8 *)path + length + 4, (VOID *)file, file_size);
    set_node((UINT8 *)path + length + 4 + file_size, END_DEVICE_PATH_TYPE, END_ENTIRE_DEVICE_PATH_SUBTYPE, 4);
    return path;
}

EFI_STATUS efi_main(EFI_HANDLE image, EFI_SYSTEM_TABLE *system)
{
    EFI_BOOT_SERVICES *boot = system->BootServices;
    EFI_DEVICE_PATH *path;
    EFI_LOADED_IMAGE *loaded;
    EFI_HANDLE linux;
    EFI_STATUS status;

    if (!key_pressed(system))
        return EFI_TIMEOUT;
    status = boot->HandleProtocol(image, &loaded_image_id, (VOID **)&loaded);
    if (status != EFI_SUCCESS)
        return status;
    path = path_of(boot, loaded->DeviceHandle, PROGRAM, sizeof PROGRAM);
    status = path ? boot->LoadImage(FALSE, image, path, NULL, 0, &linux) : EFI_OUT_OF_RESOURCES;
    if (status == EFI_SUCCESS)
        status = boot->StartImage(linux, NULL, NULL);
    say(system, L"REHEARSAL-FAILED: SETUP.EFI is not on the medium, or ended\r\n");
    return status;
}
