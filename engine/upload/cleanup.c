
#include "engine/upload/cleanup.h"

#include <dirent.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "engine/base/io.h"
#include "engine/core/log.h"
#include "engine/shared/upload_manifest.h"


#define SWEEP_BUSY  5000    /* ms, while some are in use */


static void sweep_run(job_t *job);
static void sweep_folder(int dir, const char *name);


void
sweep_after(sweep_t *sweep, int64_t delay)
{
    int64_t  when;

    when = engine_now() + delay;

    if (sweep->next == 0 || when < sweep->next) {
        sweep->next = when;
    }
}


int64_t
sweep_start(sweep_t *sweep, jobs_t *jobs)
{
    if (sweep->next != 0 && sweep->next <= engine_now() && !sweep->running) {
        sweep->next = 0;
        sweep->job.run = sweep_run;
        sweep->running = (jobs_submit(jobs, &sweep->job) == 0);
    }

    return sweep->running ? 0 : sweep->next;
}


void
sweep_done(sweep_t *sweep)
{
    sweep->running = 0;

    if (sweep->left != 0) {
        sweep_after(sweep, SWEEP_BUSY);
    }
}


static void
sweep_run(job_t *job)
{
    DIR            *dir;
    sweep_t        *sweep;
    struct dirent  *entry;

    sweep = (sweep_t *) job;
    sweep->left = 0;

    dir = io_opendir(sweep->dir, MANIFEST_FOLDER);

    if (dir == NULL) {
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
    DIR            *d;
    struct dirent  *entry;

    d = io_opendir(dir, name);

    if (d == NULL) {
        (void) unlinkat(dir, name, 0);
        return;
    }

    if (flock(dirfd(d), LOCK_EX|LOCK_NB) == -1) {
        closedir(d);
        return;
    }

    while ((entry = readdir(d)) != NULL) {

        if (strcmp(entry->d_name, ".") != 0
            && strcmp(entry->d_name, "..") != 0)
        {
            (void) unlinkat(dirfd(d), entry->d_name, 0);
        }
    }

    (void) unlinkat(dir, name, AT_REMOVEDIR);

    closedir(d);
}
