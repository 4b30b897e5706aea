
#include "engine/torrent/source_transfer.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "engine/metainfo/metainfo.h"


#define TRANSFER_MEMORY     (2LL * METAINFO_MAX)    /* of all that run */
#define TRANSFER_CONNECT    10000L      /* ms */
#define TRANSFER_TIME       60000L      /* ms, in all */
#define TRANSFER_REDIRECTS  5L
#define TRANSFER_POLL       1000        /* ms: a wake-up ends it */
#define TRANSFER_BUFFER     65536       /* bytes, at first */


static void transfer_run(job_t *job);
static CURLcode transfer_options(transfer_t *t, CURL *easy, char *text);
static CURLcode transfer_perform(transfer_t *t, CURL *easy);
static void transfer_check(transfer_t *t);
static size_t transfer_write(char *data, size_t size, size_t n, void *ctx);
static int transfer_grow(transfer_t *t, size_t len);
static curl_socket_t transfer_socket(void *ctx, curlsocktype purpose,
    struct curl_sockaddr *to);


static const struct {
    CURLoption   option;
    long         value;
} transfer_numbers[] = {
    { CURLOPT_NOSIGNAL, 1 },
    { CURLOPT_FAILONERROR, 1 },
    { CURLOPT_FOLLOWLOCATION, 1 },
    { CURLOPT_MAXREDIRS, TRANSFER_REDIRECTS },
    { CURLOPT_CONNECTTIMEOUT_MS, TRANSFER_CONNECT },
    { CURLOPT_TIMEOUT_MS, TRANSFER_TIME },
    { CURLOPT_MAXFILESIZE, METAINFO_MAX },
    { CURLOPT_HTTP_VERSION, CURL_HTTP_VERSION_1_1 },
    { CURLOPT_SSL_VERIFYPEER, 1 },
    { CURLOPT_SSL_VERIFYHOST, 2 },
    { CURLOPT_NETRC, CURL_NETRC_IGNORED },
    { CURLOPT_FORBID_REUSE, 1 },
    { CURLOPT_QUICK_EXIT, 1 }       /* does not wait for the resolver */
};

static const struct {
    CURLoption   option;
    const char  *value;
} transfer_texts[] = {
    { CURLOPT_PROTOCOLS_STR, "http,https" },
    { CURLOPT_REDIR_PROTOCOLS_STR, "http,https" },
    { CURLOPT_PROXY, "" },          /* nor one of the environment */
    { CURLOPT_USERAGENT, ENGINE_NAME "/" ENGINE_VERSION }
};

#define TRANSFER_NUMBERS                                                    \
    (sizeof(transfer_numbers) / sizeof(transfer_numbers[0]))
#define TRANSFER_TEXTS  (sizeof(transfer_texts) / sizeof(transfer_texts[0]))


int
transfer_open(transfer_t *t)
{
    t->job.run = transfer_run;
    t->good = 0;
    t->why[0] = '\0';
    t->multi = curl_multi_init();

    return (t->multi != NULL) ? 0 : ENOMEM;
}


void
transfer_close(transfer_t *t)
{
    free(t->buf);
    t->buf = NULL;
    t->len = 0;

    (void) __atomic_sub_fetch(t->memory, t->size, __ATOMIC_RELAXED);
    t->size = 0;

    (void) curl_multi_cleanup(t->multi);
    t->multi = NULL;
}


void
transfer_cancel(transfer_t *t)
{
    job_cancel(&t->job);

    (void) curl_multi_wakeup(t->multi);
}


/*
 * On a thread of its own.
 */
static void
transfer_run(job_t *job)
{
    char         text[CURL_ERROR_SIZE];
    CURL        *easy;
    CURLcode     code;
    transfer_t  *t;

    t = (transfer_t *) job;
    text[0] = '\0';

    easy = curl_easy_init();

    code = (easy != NULL) ? transfer_options(t, easy, text)
                          : CURLE_OUT_OF_MEMORY;

    if (code == CURLE_OK) {
        code = transfer_perform(t, easy);
    }

    curl_easy_cleanup(easy);

    if (code == CURLE_OK) {
        transfer_check(t);

    } else if (t->why[0] == '\0') {
        snprintf(t->why, sizeof(t->why), "%s",
                 (text[0] != '\0') ? text : curl_easy_strerror(code));
    }
}


static CURLcode
transfer_options(transfer_t *t, CURL *easy, char *text)
{
    size_t    i;
    CURLcode  code;

    code = CURLE_OK;

    for (i = 0; code == CURLE_OK && i < TRANSFER_NUMBERS; i++) {
        code = curl_easy_setopt(easy, transfer_numbers[i].option,
                                transfer_numbers[i].value);
    }

    for (i = 0; code == CURLE_OK && i < TRANSFER_TEXTS; i++) {
        code = curl_easy_setopt(easy, transfer_texts[i].option,
                                transfer_texts[i].value);
    }

    if (code != CURLE_OK) {
        return code;
    }

    if (curl_easy_setopt(easy, CURLOPT_URL, t->url) != CURLE_OK
        || curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, text) != CURLE_OK
        || curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, transfer_socket)
           != CURLE_OK
        || curl_easy_setopt(easy, CURLOPT_OPENSOCKETDATA, t) != CURLE_OK
        || curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, transfer_write)
           != CURLE_OK
        || curl_easy_setopt(easy, CURLOPT_WRITEDATA, t) != CURLE_OK)
    {
        return CURLE_OUT_OF_MEMORY;
    }

    return CURLE_OK;
}


/*
 * As curl_easy_perform(), which nobody could wake.
 */
static CURLcode
transfer_perform(transfer_t *t, CURL *easy)
{
    int         n;
    CURLMsg    *msg;
    CURLcode    code;
    CURLMcode   rc;

    code = CURLE_ABORTED_BY_CALLBACK;
    rc = curl_multi_add_handle(t->multi, easy);

    while (rc == CURLM_OK && !job_canceled(&t->job)) {
        rc = curl_multi_perform(t->multi, &n);

        if (rc == CURLM_OK && n == 0) {
            msg = curl_multi_info_read(t->multi, &n);

            if (msg != NULL) {
                code = msg->data.result;
            }

            break;
        }

        if (rc == CURLM_OK) {
            rc = curl_multi_poll(t->multi, NULL, 0, TRANSFER_POLL, NULL);
        }
    }

    (void) curl_multi_remove_handle(t->multi, easy);

    return code;
}


/*
 * Who asked for the torrent waits for the engine's thread: it need not see
 * what is of no use.
 */
static void
transfer_check(transfer_t *t)
{
    shim_hashes_t  *hashes;

    if (job_canceled(&t->job)) {
        return;
    }

    if (shim_hashes_read(t->buf, t->len, t->ih, &hashes) != SHIM_OK) {
        snprintf(t->why, sizeof(t->why), "not a .torrent of this torrent");
        return;
    }

    shim_hashes_free(hashes);
    t->good = 1;
}


static size_t
transfer_write(char *data, size_t size, size_t n, void *ctx)
{
    transfer_t  *t;

    t = ctx;

    if (n > METAINFO_MAX - t->len) {
        snprintf(t->why, sizeof(t->why), "more than %d bytes", METAINFO_MAX);
        return CURL_WRITEFUNC_ERROR;
    }

    if (n > t->size - t->len && transfer_grow(t, t->len + n) != 0) {
        snprintf(t->why, sizeof(t->why), "no memory for so many bytes");
        return CURL_WRITEFUNC_ERROR;
    }

    memcpy(t->buf + t->len, data, n);
    t->len += n;

    return size * n;        /* size is 1 */
}


static int
transfer_grow(transfer_t *t, size_t len)
{
    char    *buf;
    size_t   size;

    size = t->size ? t->size : TRANSFER_BUFFER;

    while (size < len) {
        size *= 2;
    }

    if (__atomic_add_fetch(t->memory, size - t->size, __ATOMIC_RELAXED)
        <= TRANSFER_MEMORY)
    {
        buf = realloc(t->buf, size);

        if (buf != NULL) {
            t->buf = buf;
            t->size = size;
            return 0;
        }
    }

    (void) __atomic_sub_fetch(t->memory, size - t->size, __ATOMIC_RELAXED);

    return -1;
}


/*
 * What a name has resolved to, of a redirect, too.
 */
static curl_socket_t
transfer_socket(void *ctx, curlsocktype purpose, struct curl_sockaddr *to)
{
    char                  text[INET6_ADDRSTRLEN];
    size_t                len;
    transfer_t           *t;
    const void           *address;
    struct sockaddr_in    in;
    struct sockaddr_in6   in6;

    (void) purpose;

    t = ctx;

    switch (to->family) {

    case AF_INET:
        memcpy(&in, &to->addr, sizeof(in));
        address = &in.sin_addr;
        len = sizeof(in.sin_addr);
        break;

    case AF_INET6:
        memcpy(&in6, (const void *) &to->addr, sizeof(in6));
        address = &in6.sin6_addr;
        len = sizeof(in6.sin6_addr);
        break;

    default:
        return CURL_SOCKET_BAD;
    }

    if (shim_blocks(t->shim, address, len)) {
        snprintf(t->why, sizeof(t->why), "%s is blocked",
                 inet_ntop(to->family, address, text, sizeof(text)));
        return CURL_SOCKET_BAD;
    }

    return socket(to->family, to->socktype | SOCK_CLOEXEC, to->protocol);
}
