
#include "engine/upload/build.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <openssl/evp.h>

#include "engine/upload/digest.h"
#include "engine/base/io.h"
#include "engine/shared/map.h"


#define CONTENT_CREATED_BY    "anacrolix/confluence upload"
#define CONTENT_PIECE_MIN     16384
#define CONTENT_READ          (1024 * 1024)         /* bytes at a time */
#define CONTENT_COPY          (16 * 1024 * 1024)
#define CONTENT_MANIFEST_MAX                                                  \
    (MANIFEST_FILES_MAX * sizeof(manifest_file_t) + MANIFEST_PATHS_MAX        \
     + 65536)


/* While the job runs. */
typedef struct {
    content_t           *content;
    uint8_t             *manifest;
    manifest_t           m;
    shim_create_file_t  *files;
    int                  folder;        /* descriptor */
    uint32_t             piece_length;
    uint8_t             *pieces;
    size_t               pieces_len;
} content_work_t;


static unsigned content_work(content_work_t *w);
static unsigned content_read(content_work_t *w);
static unsigned content_files(content_work_t *w);
static int content_cmp(const void *a, const void *b);
static unsigned content_merge(content_work_t *w);
static int content_merge_one(content_work_t *w, uint32_t n, uint32_t k);
static int content_append(content_work_t *w, int out, uint32_t n);
static unsigned content_hash(content_work_t *w);
static int content_hash_piece(content_work_t *w, EVP_MD_CTX *ctx,
    uint8_t *buf, uint32_t piece, int *fd, uint32_t *segment);
static unsigned content_create(content_work_t *w);
static int content_open(content_work_t *w, uint32_t n, int flags);
static unsigned content_fail(content_work_t *w, unsigned status, int err,
    const char *text);


void
content_run(job_t *job)
{
    content_t       *content;
    content_work_t   w;

    content = (content_t *) job;

    memset(&w, 0, sizeof(w));
    w.content = content;
    w.folder = -1;

    content->status = content_work(&w);

    if (w.folder != -1) {
        close(w.folder);
    }

    free(w.manifest);
    free(w.files);
    free(w.pieces);
}


/*
 * One step after another; each returns 200, or what to answer.
 */
static unsigned
content_work(content_work_t *w)
{
    unsigned  status;

    status = content_read(w);

    if (status == 200) {
        status = content_files(w);
    }

    /*
     * An engine before this one may have hashed it all, and taken a part of
     * the files since.
     */

    if (status == 200
        && digest_read(w->folder, w->pieces, w->pieces_len) != 0)
    {
        status = content_merge(w);

        if (status == 200) {
            status = content_hash(w);
        }
    }

    if (status == 200) {
        status = content_create(w);
    }

    return status;
}


void
content_free(content_t *content)
{
    if (content->fd != -1) {
        close(content->fd);
    }

    shim_free(content->metainfo);
    free(content->hosts);
    free(content);
}


void
content_nodes(content_t *content, const char *addresses, uint16_t port)
{
    char  *p, *save;

    content->hosts = strdup(addresses);

    if (content->hosts == NULL || port == 0) {
        return;
    }

    for (p = strtok_r(content->hosts, ",", &save);
         p != NULL && content->node_n < CONTENT_NODES;
         p = strtok_r(NULL, ",", &save))
    {
        content->nodes[content->node_n].host = p;
        content->nodes[content->node_n].port = port;
        content->node_n++;
    }
}


uint32_t
content_piece_length(uint64_t total)
{
    uint64_t  length;

    length = CONTENT_PIECE_MIN;

    while (total / length >= 2048) {
        length *= 2;
    }

    return length;
}


static unsigned
content_read(content_work_t *w)
{
    int         rc;
    char        name[64];
    size_t      n;
    content_t  *content;

    content = w->content;

    if (content->size < sizeof(manifest_t)
        || content->size > CONTENT_MANIFEST_MAX)
    {
        return content_fail(w, 500, EINVAL, "manifest");
    }

    w->manifest = malloc(content->size);

    if (w->manifest == NULL) {
        return content_fail(w, 500, ENOMEM, "manifest");
    }

    rc = io_pread(content->fd, w->manifest, content->size, 0);

    if (rc != 0) {
        return content_fail(w, 500, rc, "manifest");
    }

    memcpy(&w->m, w->manifest, sizeof(manifest_t));

    n = strnlen(w->m.folder, sizeof(w->m.folder));

    if (memcmp(w->m.magic, MANIFEST_MAGIC, sizeof(w->m.magic)) != 0
        || w->m.name_off > content->size
        || w->m.name_len > content->size - w->m.name_off
        || w->m.file_n > MANIFEST_FILES_MAX
        || w->m.total > MANIFEST_TOTAL_MAX
        || n == 0 || n == sizeof(w->m.folder)
        || strspn(w->m.folder, "0123456789.") != n
        || w->m.folder[0] == '.')
    {
        return content_fail(w, 500, EINVAL, "manifest");
    }

    snprintf(name, sizeof(name), MANIFEST_FOLDER "/%s", w->m.folder);

    w->folder = openat(content->dir, name,
                       O_RDONLY|O_DIRECTORY|O_CLOEXEC|O_NOFOLLOW);

    if (w->folder == -1) {
        return content_fail(w, 500, errno, "data of the upload");
    }

    memcpy(content->folder, w->m.folder, sizeof(content->folder));
    content->total = w->m.total;

    w->piece_length = content_piece_length(w->m.total);
    content->segment_size = (w->piece_length > MANIFEST_SEGMENT)
                            ? w->piece_length : MANIFEST_SEGMENT;
    content->segment_n = (w->m.total + content->segment_size - 1)
                         / content->segment_size;

    w->pieces_len = (w->m.total + w->piece_length - 1) / w->piece_length * 20;
    w->pieces = malloc(w->pieces_len + 1);

    return (w->pieces != NULL) ? 200
                               : content_fail(w, 500, ENOMEM, "pieces");
}


/*
 * The table of files, and no path in it twice.
 */
static unsigned
content_files(content_work_t *w)
{
    char                      *p;
    size_t                     pos;
    uint32_t                   i, n;
    uint64_t                   total;
    manifest_file_t            f;
    const shim_create_file_t **sorted;

    n = w->m.file_n;
    w->files = calloc(n + 1, sizeof(shim_create_file_t));
    sorted = calloc(n + 1, sizeof(shim_create_file_t *));

    if (w->files == NULL || sorted == NULL) {
        free(sorted);
        return content_fail(w, 500, ENOMEM, "files");
    }

    pos = sizeof(manifest_t);
    total = 0;

    for (i = 0; i < n; i++) {

        if (w->m.name_off - pos < sizeof(f)) {
            break;
        }

        memcpy(&f, w->manifest + pos, sizeof(f));
        pos += sizeof(f);

        if (w->m.name_off - pos < f.path_len
            || f.length > w->m.total - total)
        {
            break;
        }

        w->files[i].path = (char *) w->manifest + pos;
        w->files[i].path_len = f.path_len;
        w->files[i].length = f.length;
        sorted[i] = &w->files[i];

        if (w->m.strip) {
            p = memchr(w->files[i].path, '/', f.path_len);

            if (p != NULL) {
                p++;
                w->files[i].path_len -= p - w->files[i].path;
                w->files[i].path = p;
            }
        }

        pos += f.path_len;
        total += f.length;
    }

    if (i != n || total != w->m.total) {
        free(sorted);
        return content_fail(w, 500, EINVAL, "manifest");
    }

    qsort(sorted, n, sizeof(shim_create_file_t *), content_cmp);

    for (i = 1; i < n; i++) {
        if (content_cmp(&sorted[i - 1], &sorted[i]) == 0) {
            snprintf(w->content->error, sizeof(w->content->error),
                     "duplicate path \"%.*s\"",
                     (sorted[i]->path_len < 200) ? (int) sorted[i]->path_len
                                                 : 200, sorted[i]->path);
            free(sorted);
            return 400;
        }
    }

    free(sorted);

    return 200;
}


static int
content_cmp(const void *a, const void *b)
{
    const shim_create_file_t  *x, *y;

    x = *(shim_create_file_t *const *) a;
    y = *(shim_create_file_t *const *) b;

    return map_bytes_cmp((const uint8_t *) x->path, x->path_len,
                         (const uint8_t *) y->path, y->path_len);
}


/*
 * Segments of a torrent with large pieces are larger than what the worker has
 * made: several become one.  That is the only case that needs a copy.
 */
static unsigned
content_merge(content_work_t *w)
{
    int       rc;
    uint32_t  i, k;

    k = w->content->segment_size / MANIFEST_SEGMENT;

    for (i = 0; k > 1 && i < w->content->segment_n; i++) {
        rc = content_merge_one(w, i, k);

        if (rc != 0) {
            return content_fail(w, (rc == ENOSPC || rc == EDQUOT) ? 507 : 500,
                                rc, "data of the upload");
        }
    }

    return 200;
}


static int
content_merge_one(content_work_t *w, uint32_t n, uint32_t k)
{
    int       rc, out;
    char      from[16], to[16];
    uint32_t  i, last;

    last = (w->m.total + MANIFEST_SEGMENT - 1) / MANIFEST_SEGMENT;
    last = (last - n * k < k) ? last : (n + 1) * k;

    out = content_open(w, n * k, O_WRONLY);

    if (out == -1) {
        return errno;
    }

    rc = 0;

    for (i = n * k + 1; rc == 0 && i < last; i++) {
        rc = content_append(w, out, i);
    }

    close(out);

    if (rc != 0 || n == 0) {
        return rc;
    }

    /* the file of that number has been appended to another by now */

    snprintf(from, sizeof(from), "%u", n * k);
    snprintf(to, sizeof(to), "%u", n);

    return (renameat(w->folder, from, w->folder, to) == -1) ? errno : 0;
}


static int
content_append(content_work_t *w, int out, uint32_t n)
{
    int      in, rc;
    char     name[16];
    ssize_t  len;

    in = content_open(w, n, O_RDONLY);

    if (in == -1 || lseek(out, 0, SEEK_END) == -1) {
        rc = errno;

        if (in != -1) {
            close(in);
        }

        return rc;
    }

    do {
        len = copy_file_range(in, NULL, out, NULL, CONTENT_COPY, 0);
        rc = (len == -1) ? errno : 0;

        if (job_canceled(&w->content->job)) {
            rc = ECANCELED;
        }

    } while ((rc == 0 && len != 0) || rc == EINTR);

    close(in);

    if (rc == 0) {
        snprintf(name, sizeof(name), "%u", n);
        (void) unlinkat(w->folder, name, 0);
    }

    return rc;
}


static unsigned
content_hash(content_work_t *w)
{
    int          rc, fd;
    uint8_t     *buf;
    uint32_t     i, n, segment;
    EVP_MD_CTX  *ctx;

    n = (w->m.total + w->piece_length - 1) / w->piece_length;

    buf = malloc(CONTENT_READ);
    ctx = EVP_MD_CTX_new();
    fd = -1;

    rc = (buf == NULL || ctx == NULL) ? ENOMEM : 0;

    for (i = 0; rc == 0 && i < n; i++) {
        rc = content_hash_piece(w, ctx, buf, i, &fd, &segment);
    }

    if (fd != -1) {
        close(fd);
    }

    EVP_MD_CTX_free(ctx);
    free(buf);

    if (rc != 0) {
        return content_fail(w, 500, rc, "data of the upload");
    }

    digest_write(w->folder, w->pieces, w->pieces_len);

    return 200;
}


static int
content_hash_piece(content_work_t *w, EVP_MD_CTX *ctx, uint8_t *buf,
    uint32_t piece, int *fd, uint32_t *segment)
{
    int         rc;
    size_t      n;
    uint64_t    pos, end;
    content_t  *content;

    content = w->content;

    pos = (uint64_t) piece * w->piece_length;
    end = pos + w->piece_length;
    end = (end < w->m.total) ? end : w->m.total;

    if (*fd == -1 || *segment != pos / content->segment_size) {

        if (*fd != -1) {
            close(*fd);
        }

        *segment = pos / content->segment_size;
        *fd = content_open(w, *segment, O_RDONLY);

        if (*fd == -1) {
            return errno;
        }
    }

    if (EVP_DigestInit_ex(ctx, EVP_sha1(), NULL) != 1) {
        return ENOMEM;
    }

    for ( /* void */ ; pos < end; pos += n) {
        n = (end - pos < CONTENT_READ) ? end - pos : CONTENT_READ;

        rc = io_pread(*fd, buf, n, pos % content->segment_size);

        if (rc == 0 && job_canceled(&content->job)) {
            rc = ECANCELED;
        }

        if (rc != 0) {
            return rc;
        }

        if (EVP_DigestUpdate(ctx, buf, n) != 1) {
            return EINVAL;
        }

        __atomic_add_fetch(&content->hashed, n, __ATOMIC_RELAXED);
    }

    return (EVP_DigestFinal_ex(ctx, w->pieces + (size_t) piece * 20, NULL)
            == 1)
           ? 0 : EINVAL;
}


static unsigned
content_create(content_work_t *w)
{
    char            err[200];
    content_t      *content;
    shim_rc_t       rc;
    shim_create_t   c;

    content = w->content;

    memset(&c, 0, sizeof(c));
    c.size = sizeof(c);
    c.name = (char *) w->manifest + w->m.name_off;
    c.name_len = w->m.name_len;
    c.files = w->files;
    c.file_n = w->m.file_n;
    c.piece_length = w->piece_length;
    c.pieces = w->pieces;
    c.pieces_len = w->pieces_len;
    c.trackers = content->trackers;
    c.nodes = content->nodes;
    c.node_n = content->node_n;
    c.created_by = CONTENT_CREATED_BY;
    c.creation_date = time(NULL);

    rc = shim_create(&c, &content->metainfo, &content->metainfo_len, err,
                     sizeof(err));

    if (rc != SHIM_OK) {
        snprintf(content->error, sizeof(content->error), "%s", err);
        return (rc == SHIM_INVALID) ? 413 : 500;
    }

    return 200;
}


static int
content_open(content_work_t *w, uint32_t n, int flags)
{
    char  name[16];

    snprintf(name, sizeof(name), "%u", n);

    return openat(w->folder, name, flags|O_CLOEXEC|O_NOFOLLOW);
}


static unsigned
content_fail(content_work_t *w, unsigned status, int err, const char *text)
{
    snprintf(w->content->error, sizeof(w->content->error), "%s: %s", text,
             strerror(err));

    return status;
}
