
/*
 * .torrents, as they are posted: what is taken is asked for everything that
 * the engine asks for, and written again.
 */

#include <errno.h>
#include <string.h>

#include "shim/api/shim.h"
#include "fuzz.h"


static int storage_begin(void *ctx, uint32_t piece, uint32_t *generation);
static int storage_write(void *ctx, uint32_t piece, uint32_t generation,
    void const *buf, uint32_t len);
static int storage_mark(void *ctx, uint32_t piece, uint32_t generation,
    shim_piece_state_t state);
static int storage_current(void *ctx, uint32_t piece, uint32_t generation);
static int storage_read(void *ctx, uint32_t piece, uint32_t offset, void *buf,
    uint32_t len);
static int storage_complete(void *ctx, uint32_t piece);
static void storage_release(void *ctx);
static shim_t *session(void);
static void torrent_ask(shim_t *shim, shim_id_t id);
static void torrent_ask_info(shim_t *shim, shim_id_t id);
static void torrent_ask_sources(shim_t *shim, shim_id_t id);
static void torrent_again(shim_t *shim, shim_id_t id);


static const shim_storage_t  storage = {
    storage_begin,
    storage_write,
    storage_mark,
    storage_current,
    storage_read,
    storage_complete,
    storage_release
};


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char           err[256];
    shim_t        *shim;
    shim_id_t      id;
    shim_rc_t      rc;
    shim_add_t     add;
    shim_event_t   ev;

    shim = session();

    memset(&add, 0, sizeof(add));
    add.size = sizeof(add);
    add.metainfo = data;
    add.metainfo_len = size;

    id = 0;
    err[0] = '\0';

    rc = shim_add(shim, &add, &id, err, sizeof(err));

    if (rc == SHIM_OK) {
        FUZZ_CHECK(id != 0);
        torrent_ask(shim, id);
        FUZZ_CHECK(shim_remove(shim, id) == SHIM_OK);

    } else if (rc == SHIM_INVALID || rc == SHIM_MALFORMED) {
        FUZZ_CHECK(err[0] != '\0');
    }

    while (shim_next_event(shim, &ev)) { /* void */ }

    return 0;
}


static shim_t *
session(void)
{
    char            err[256];
    shim_config_t   config;
    static shim_t  *shim;

    if (shim != NULL) {
        return shim;
    }

    memset(&config, 0, sizeof(config));
    config.size = sizeof(config);
    config.listen = "127.0.0.1:0";
    config.dht_bootstrap = "";
    config.public_ip = "";
    config.user_agent = "fuzz";
    config.camouflage = "";
    config.storage = storage;

    FUZZ_CHECK(shim_open(&config, &shim, err, sizeof(err)) == SHIM_OK);

    return shim;
}


static void
torrent_ask(shim_t *shim, shim_id_t id)
{
    torrent_ask_info(shim, id);
    torrent_ask_sources(shim, id);
    torrent_again(shim, id);
}


static void
torrent_ask_info(shim_t *shim, shim_id_t id)
{
    uint32_t      i;
    uint64_t      end;
    shim_file_t   file;
    shim_info_t   info;

    memset(&info, 0, sizeof(info));
    info.size = sizeof(info);

    FUZZ_CHECK(shim_info(shim, id, &info) == SHIM_OK);
    FUZZ_CHECK(info.piece_length != 0);
    FUZZ_CHECK(info.has_v1 || info.has_v2);
    FUZZ_CHECK((info.total_size + info.piece_length - 1) / info.piece_length
               == info.piece_n);

    end = 0;

    for (i = 0; i < info.file_n; i++) {
        FUZZ_CHECK(shim_file(shim, id, i, &file) == SHIM_OK);
        FUZZ_CHECK(file.offset >= end);
        FUZZ_CHECK(file.length <= info.total_size - file.offset);
        end = file.offset + file.length;
    }

    FUZZ_CHECK(shim_file(shim, id, info.file_n, &file) != SHIM_OK);
}


static void
torrent_ask_sources(shim_t *shim, shim_id_t id)
{
    uint32_t         i, k, number;
    const char      *text;
    shim_sources_t   s;

    FUZZ_CHECK(shim_sources(shim, id, &s) == SHIM_OK);

    const uint32_t  n[] = { s.tracker_n, s.web_seed_n, s.node_n };

    for (k = SHIM_SOURCE_TRACKER; k <= SHIM_SOURCE_NODE; k++) {
        for (i = 0; i < n[k]; i++) {
            FUZZ_CHECK(shim_source(shim, id, k, i, &text, &number)
                       == SHIM_OK);
            FUZZ_CHECK(text != NULL);
        }
    }
}


/* What is written of it is the same torrent. */

static void
torrent_again(shim_t *shim, shim_id_t id)
{
    char           err[256];
    void          *buf;
    size_t         len;
    shim_id_t      other;
    shim_add_t     add;
    shim_layer_t  *layers;
    uint32_t       n;

    FUZZ_CHECK(shim_layers(shim, id, &layers, &n) == SHIM_OK);
    shim_free(layers);

    FUZZ_CHECK(shim_metainfo(shim, id, NULL, "fuzz", 0, &buf, &len)
               == SHIM_OK);

    memset(&add, 0, sizeof(add));
    add.size = sizeof(add);
    add.metainfo = buf;
    add.metainfo_len = len;

    FUZZ_CHECK(shim_add(shim, &add, &other, err, sizeof(err))
               == SHIM_EXISTS);
    FUZZ_CHECK(other == id);

    shim_free(buf);
}


/* Nothing is downloaded. */

static int
storage_begin(void *ctx, uint32_t piece, uint32_t *generation)
{
    (void) ctx, (void) piece, (void) generation;

    return EAGAIN;
}


static int
storage_write(void *ctx, uint32_t piece, uint32_t generation, void const *buf,
    uint32_t len)
{
    (void) ctx, (void) piece, (void) generation, (void) buf, (void) len;

    return EAGAIN;
}


static int
storage_mark(void *ctx, uint32_t piece, uint32_t generation,
    shim_piece_state_t state)
{
    (void) ctx, (void) piece, (void) generation, (void) state;

    return ESTALE;
}


static int
storage_current(void *ctx, uint32_t piece, uint32_t generation)
{
    (void) ctx, (void) piece, (void) generation;

    return 0;
}


static int
storage_read(void *ctx, uint32_t piece, uint32_t offset, void *buf,
    uint32_t len)
{
    (void) ctx, (void) piece, (void) offset, (void) buf, (void) len;

    return ESTALE;
}


static int
storage_complete(void *ctx, uint32_t piece)
{
    (void) ctx, (void) piece;

    return 0;
}


static void
storage_release(void *ctx)
{
    (void) ctx;
}
