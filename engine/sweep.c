
#include "sweep.h"

#include <dirent.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "manifest.h"


static void sweep_folder(int dir, const char *name);


void
sweep_run(job_t *job)
{
    int               fd;
    DIR              *dir;
    struct dirent    *entry;
    sweep_t  *sweep;

    sweep = (sweep_t *) job;
    sweep->left = 0;

    fd = openat(sweep->dir, MANIFEST_FOLDER,
                O_RDONLY|O_DIRECTORY|O_CLOEXEC|O_NOFOLLOW);

    if (fd == -1) {
        return;
    }

    dir = fdopendir(fd);

    if (dir == NULL) {
        close(fd);
        return;
    }

    while ((entry = readdir(dir)) != NULL) {

        if (entry->d_name[0] == '.') {
            continue;
        }

        sweep_folder(dirfd(dir), entry->d_name);

        sweep->left += (faccessat(dirfd(dir), entry->d_name, F_OK, 0) == 0);
    }

    closedir(dir);
}


/*
 * Removes a folder unless somebody holds its lock.
 */
static void
sweep_folder(int dir, const char *name)
{
    int             fd;
    DIR            *d;
    struct dirent  *entry;

    fd = openat(dir, name, O_RDONLY|O_DIRECTORY|O_CLOEXEC|O_NOFOLLOW);

    if (fd == -1) {
        (void) unlinkat(dir, name, 0);
        return;
    }

    if (flock(fd, LOCK_EX|LOCK_NB) == -1) {
        close(fd);
        return;
    }

    d = fdopendir(fd);

    if (d == NULL) {
        close(fd);
        return;
    }

    while ((entry = readdir(d)) != NULL) {

        if (strcmp(entry->d_name, ".") != 0
            && strcmp(entry->d_name, "..") != 0)
        {
            (void) unlinkat(fd, entry->d_name, 0);
        }
    }

    (void) unlinkat(dir, name, AT_REMOVEDIR);

    closedir(d);
}
