
/*
 * Fills a cache directory with torrents that are complete, by the engine's own
 * code: fill_cache DIR N.  Torrent i is the file "f<i>" of one piece; its
 * bytes are i, as text and a line feed, again and again.  Prints the
 * infohash of each.
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/sha.h>

#include "engine/cache/cache.h"


#define PIECE         16384
#define NAME_MAX_LEN  32


static void make_info(unsigned n, shim_info_t *info, uint8_t *bytes,
    char *dict, size_t *dict_len);
static int save_metainfo(const char *path, const shim_info_t *info,
    const char *dict, size_t len);
static int fill(cache_t *cache, const shim_info_t *info,
    const uint8_t *bytes);


static char  name[NAME_MAX_LEN];


/* what layout_create() asks of the shim */

shim_rc_t
shim_file(shim_t *s, shim_id_t id, uint32_t n, shim_file_t *file)
{
    (void) s;
    (void) id;
    (void) n;

    file->offset = 0;
    file->length = PIECE;
    file->path = name;
    file->path_len = strlen(name);
    file->flags = 0;

    return SHIM_OK;
}


int
main(int argc, char **argv)
{
    char         dict[1024], hex[41];
    size_t       len;
    uint8_t      bytes[PIECE];
    cache_t      cache;
    unsigned     i, n;
    shim_info_t  info;

    if (argc != 3) {
        fprintf(stderr, "fill_cache DIR N\n");
        return 2;
    }

    n = atoi(argv[2]);

    memset(&cache, 0, sizeof(cache_t));
    cache.path = argv[1];
    cache.caches = 1;
    cache.layout = MAP_SEGMENTS;
    cache.max_size = -1;

    (void) mkdir(cache.path, 0700);

    if (cache_open(&cache) != 0) {
        perror(cache.path);
        return 1;
    }

    for (i = 0; i < n; i++) {
        make_info(i, &info, bytes, dict, &len);

        if (save_metainfo(cache.path, &info, dict, len) != 0
            || fill(&cache, &info, bytes) != 0)
        {
            perror(name);
            return 1;
        }

        map_hex(hex, info.v1, 20);
        printf("%s\n", hex);
    }

    cache_close(&cache, 0);

    return 0;
}


static void
make_info(unsigned n, shim_info_t *info, uint8_t *bytes, char *dict,
    size_t *dict_len)
{
    int     len;
    char    text[NAME_MAX_LEN];
    size_t  i;

    snprintf(name, sizeof(name), "f%u", n);
    len = snprintf(text, sizeof(text), "%u\n", n);

    for (i = 0; i < PIECE; i++) {
        bytes[i] = text[i % len];
    }

    len = sprintf(dict, "d6:lengthi%de4:name%zu:%s12:piece lengthi%de"
                  "6:pieces20:", PIECE, strlen(name), name, PIECE);
    SHA1(bytes, PIECE, (unsigned char *) dict + len);
    len += 20;
    dict[len++] = 'e';

    *dict_len = len;

    memset(info, 0, sizeof(shim_info_t));
    info->size = sizeof(shim_info_t);
    info->has_v1 = 1;
    SHA1((unsigned char *) dict, len, info->v1);
    info->single_file = 1;
    info->piece_length = PIECE;
    info->piece_n = 1;
    info->total_size = PIECE;
    info->file_n = 1;
    info->name = name;
    info->name_len = strlen(name);
}


static int
save_metainfo(const char *path, const shim_info_t *info, const char *dict,
    size_t len)
{
    char   file[4096], hex[41];
    FILE  *out;

    map_hex(hex, info->v1, 20);
    snprintf(file, sizeof(file), "%s/metainfo/%s.torrent", path, hex);

    out = fopen(file, "w");

    if (out == NULL) {
        return -1;
    }

    fputs("d4:info", out);
    fwrite(dict, len, 1, out);
    fputc('e', out);

    return fclose(out);
}


static int
fill(cache_t *cache, const shim_info_t *info, const uint8_t *bytes)
{
    char       err[256];
    store_t   *store;
    uint32_t   generation;

    return cache_store(cache, &store, info->v1, NULL, 0, info, err,
                       sizeof(err))
           != 0
           || cache_reserve(cache, store, 0, 0) != 0
           || store_storage.begin(store, 0, &generation) != 0
           || store_storage.write(store, 0, generation, bytes, PIECE) != 0
           || store_storage.mark(store, 0, generation, SHIM_PIECE_COMPLETE)
              != 0;
}
