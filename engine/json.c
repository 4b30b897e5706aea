
#include "json.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>
#include <openssl/evp.h>


static json_t *json_base64(const void *buf, size_t len);
static int json_set_list(json_t *object, const char *key, json_t *list);
static json_t *json_trackers(const torrent_t *torrent);
static json_t *json_web_seeds(const torrent_t *torrent);
static json_t *json_nodes(const torrent_t *torrent);
static json_t *json_layers(const torrent_t *torrent);
static json_t *json_text(const char *text);
static int json_line(json_t *object, char **buf, size_t *len);


int
json_metainfo(torrent_t *torrent, const char *comment, int64_t date,
    char **buf, size_t *len)
{
    int              rc;
    size_t           n;
    json_t          *object;
    const void      *info;
    shim_sources_t   from;

    if (shim_info_bytes(torrent->engine->shim, torrent->id, &info, &n)
        != SHIM_OK
        || shim_sources(torrent->engine->shim, torrent->id, &from) != SHIM_OK)
    {
        return -1;
    }

    object = json_object();

    /* a value that could not be made makes the call fail, and so all */

    rc = json_object_set_new(object, "info", json_base64(info, n));

    rc |= json_set_list(object, "announceList", json_trackers(torrent));
    rc |= json_set_list(object, "nodes", json_nodes(torrent));
    rc |= json_object_set_new(object, "creationDate",
                              json_integer(from.creation_date
                                           ? from.creation_date : date));
    rc |= json_object_set_new(object, "comment",
                              json_text(*from.comment ? from.comment
                                                      : comment));
    rc |= json_object_set_new(object, "createdBy",
                              json_text(*from.created_by ? from.created_by
                                                         : ENGINE_NAME));
    rc |= json_set_list(object, "urlList", json_web_seeds(torrent));

    if (torrent->info.has_v2) {
        rc |= json_object_set_new(object, "pieceLayers", json_layers(torrent));
    }

    if (rc == 0) {
        rc = json_line(object, buf, len);
    }

    json_decref(object);

    return (rc == 0) ? 0 : -1;
}


/*
 * One line, ended by LF.
 */
static int
json_line(json_t *object, char **buf, size_t *len)
{
    char    *text, *line;
    size_t   n;

    text = json_dumps(object, JSON_COMPACT);

    if (text == NULL) {
        return -1;
    }

    n = strlen(text);
    line = realloc(text, n + 2);

    if (line == NULL) {
        free(text);
        return -1;
    }

    line[n] = '\n';

    *buf = line;
    *len = n + 1;

    return 0;
}


static json_t *
json_base64(const void *buf, size_t len)
{
    int             n;
    json_t         *value;
    unsigned char  *text;

    if (len > INT_MAX / 2) {
        return NULL;
    }

    text = malloc((len + 2) / 3 * 4 + 1);

    if (text == NULL) {
        return NULL;
    }

    n = EVP_EncodeBlock(text, buf, len);
    value = json_stringn((char *) text, n);

    free(text);

    return value;
}


/*
 * Takes the list over; an empty one is left out.
 */
static int
json_set_list(json_t *object, const char *key, json_t *list)
{
    if (list != NULL && json_array_size(list) == 0) {
        json_decref(list);
        return 0;
    }

    return json_object_set_new(object, key, list);
}


/*
 * Trackers as tiers: an array of arrays of URLs.
 */
static json_t *
json_trackers(const torrent_t *torrent)
{
    json_t      *list, *tier;
    uint32_t     i, number, last;
    const char  *url;

    list = json_array();
    tier = NULL;
    last = 0;

    for (i = 0;
         shim_source(torrent->engine->shim, torrent->id, SHIM_SOURCE_TRACKER,
                     i, &url, &number)
         == SHIM_OK;
         i++)
    {
        if (tier == NULL || number != last) {
            tier = json_array();
            json_array_append_new(list, tier);
        }

        json_array_append_new(tier, json_text(url));
        last = number;
    }

    return list;
}


static json_t *
json_web_seeds(const torrent_t *torrent)
{
    json_t      *list;
    uint32_t     i, number;
    const char  *url;

    list = json_array();

    for (i = 0;
         shim_source(torrent->engine->shim, torrent->id, SHIM_SOURCE_WEB_SEED,
                     i, &url, &number)
         == SHIM_OK;
         i++)
    {
        json_array_append_new(list, json_text(url));
    }

    return list;
}


/*
 * "host:port", an IPv6 address in brackets.
 */
static json_t *
json_nodes(const torrent_t *torrent)
{
    char         text[300];
    json_t      *list;
    uint32_t     i, port;
    const char  *host;

    list = json_array();

    for (i = 0;
         shim_source(torrent->engine->shim, torrent->id, SHIM_SOURCE_NODE, i,
                     &host, &port)
         == SHIM_OK;
         i++)
    {
        snprintf(text, sizeof(text), strchr(host, ':') ? "[%s]:%u" : "%s:%u",
                 host, port);
        json_array_append_new(list, json_text(text));
    }

    return list;
}


/*
 * Layers by root: hex -> base64.
 */
static json_t *
json_layers(const torrent_t *torrent)
{
    int            rc;
    char           hex[65];
    json_t        *object;
    uint32_t       i, n;
    shim_layer_t  *layers;

    if (shim_layers(torrent->engine->shim, torrent->id, &layers, &n)
        != SHIM_OK)
    {
        return NULL;
    }

    object = json_object();
    rc = 0;

    for (i = 0; i < n; i++) {
        map_hex(hex, layers[i].root, 32);
        rc |= json_object_set_new(object, hex, json_base64(layers[i].hashes,
                                                           layers[i].len));
    }

    shim_free(layers);

    if (rc != 0) {
        json_decref(object);
        return NULL;
    }

    return object;
}


/*
 * Bytes that are not UTF-8 become U+FFFD.
 */
static json_t *
json_text(const char *text)
{
    char    *copy;
    size_t   i, n, out;
    json_t  *value;

    value = json_string(text);

    if (value != NULL) {
        return value;
    }

    n = strlen(text);
    copy = malloc(3 * n + 1);

    if (copy == NULL) {
        return NULL;
    }

    for (i = 0, out = 0; i < n; i++) {
        if ((unsigned char) text[i] < 0x80) {
            copy[out++] = text[i];

        } else {
            memcpy(copy + out, "\xef\xbf\xbd", 3);
            out += 3;
        }
    }

    value = json_stringn(copy, out);

    free(copy);

    return value;
}
