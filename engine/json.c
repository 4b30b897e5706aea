
#include "json.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>
#include <openssl/evp.h>


#define JSON_TRACKERS  256


static json_t *json_base64(const void *buf, size_t len);
static json_t *json_trackers(const torrent_t *torrent);
static json_t *json_web_seeds(const torrent_t *torrent);
static json_t *json_text(const char *text);
static int json_line(json_t *object, char **buf, size_t *len);


int
json_metainfo(torrent_t *torrent, const char *comment, int64_t date,
    char **buf, size_t *len)
{
    int          rc;
    size_t       n;
    json_t      *object, *list;
    const void  *info;

    if (shim_info_bytes(torrent->engine->shim, torrent->id, &info, &n)
        != SHIM_OK)
    {
        return -1;
    }

    object = json_object();

    /* a value that could not be made makes the call fail, and so all */

    rc = json_object_set_new(object, "info", json_base64(info, n));

    list = json_trackers(torrent);

    if (json_array_size(list) != 0) {
        rc |= json_object_set_new(object, "announceList", list);

    } else {
        json_decref(list);
    }

    rc |= json_object_set_new(object, "creationDate", json_integer(date));
    rc |= json_object_set_new(object, "comment", json_text(comment));
    rc |= json_object_set_new(object, "createdBy", json_text(ENGINE_NAME));

    list = json_web_seeds(torrent);

    if (json_array_size(list) != 0) {
        rc |= json_object_set_new(object, "urlList", list);

    } else {
        json_decref(list);
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
 * Trackers as tiers: an array of arrays of URLs.
 */
static json_t *
json_trackers(const torrent_t *torrent)
{
    json_t          *list, *tier;
    uint32_t         i, n;
    shim_tracker_t  *t;

    list = json_array();
    tier = NULL;
    t = calloc(JSON_TRACKERS, sizeof(shim_tracker_t));

    if (t != NULL
        && shim_trackers(torrent->engine->shim, torrent->id, t, JSON_TRACKERS,
                         &n)
           == SHIM_OK)
    {
        for (i = 0; i < n && i < JSON_TRACKERS; i++) {

            if (tier == NULL || t[i].tier != t[i - 1].tier) {
                tier = json_array();
                json_array_append_new(list, tier);
            }

            json_array_append_new(tier, json_text(t[i].url));
        }
    }

    free(t);

    return list;
}


static json_t *
json_web_seeds(const torrent_t *torrent)
{
    char      *urls, *url;
    json_t    *list;
    uint32_t   n;

    list = json_array();

    if (shim_web_seeds(torrent->engine->shim, torrent->id, &urls, &n)
        != SHIM_OK)
    {
        return list;
    }

    for (url = urls; n != 0; n--, url += strlen(url) + 1) {
        json_array_append_new(list, json_text(url));
    }

    shim_free(urls);

    return list;
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
