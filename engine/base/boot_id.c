
#include "engine/base/boot_id.h"

#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <unistd.h>


static void boot_read(void);


static char            boot_text[BOOT_ID_LEN + 1];
static pthread_once_t  boot_once = PTHREAD_ONCE_INIT;


const char *
boot_id(void)
{
    pthread_once(&boot_once, boot_read);

    return boot_text;
}


static void
boot_read(void)
{
    int      fd;
    ssize_t  n;

    fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY|O_CLOEXEC);

    if (fd == -1) {
        return;
    }

    n = read(fd, boot_text, BOOT_ID_LEN);

    if (n != BOOT_ID_LEN) {
        boot_text[0] = '\0';
    }

    close(fd);
}
