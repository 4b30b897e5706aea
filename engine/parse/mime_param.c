
#include "engine/parse/mime_param.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>


#define PARAM_NAME    64        /* bytes of a name that we ask for */
#define PARAM_PIECES  64        /* of a value in pieces */


/* One parameter as it stands there. */
typedef struct {
    const uint8_t  *name;
    size_t          name_len;
    const uint8_t  *value;      /* without quotes */
    size_t          value_len;
    int             quoted;
} param_t;


static int param_next(const uint8_t **p, const uint8_t *last, param_t *param);
static int param_value(const uint8_t **p, const uint8_t *last,
    param_t *param);
static const uint8_t *param_space(const uint8_t *p, const uint8_t *last);
static int param_is_token(uint8_t c);
static int param_find(const uint8_t *p, const uint8_t *last, const char *name,
    param_t *param);
static int param_plain(const param_t *param, uint8_t *dst, size_t size,
    size_t *len);
static int param_encoded(const param_t *param, int charset, uint8_t *dst,
    size_t size, size_t *len);
static int param_pieces(const uint8_t *p, const uint8_t *last,
    const char *name, uint8_t *dst, size_t size, size_t *len);
static int param_hex(uint8_t c);


int
param_get(const uint8_t *p, const uint8_t *last, const char *name,
    uint8_t *dst, size_t size, size_t *len)
{
    int      rc;
    char     star[PARAM_NAME];
    param_t  param;

    *len = 0;

    snprintf(star, sizeof(star), "%s*", name);

    rc = param_find(p, last, star, &param);

    if (rc == 1) {
        rc = param_encoded(&param, 1, dst, size, len);

        if (rc != 1) {
            return rc;
        }

        *len = 0;       /* of a charset that is not ours */
    }

    if (rc == -1) {
        return -1;
    }

    rc = param_pieces(p, last, name, dst, size, len);

    if (rc != 0) {
        return (rc == 1) ? 0 : -1;
    }

    rc = param_find(p, last, name, &param);

    return (rc == 1) ? param_plain(&param, dst, size, len) : rc;
}


/*
 * Returns 1, 0 if there is none of that name, or -1.
 */
static int
param_find(const uint8_t *p, const uint8_t *last, const char *name,
    param_t *param)
{
    int     rc;
    size_t  len;

    len = strlen(name);

    while ((rc = param_next(&p, last, param)) == 1) {
        if (param->name_len == len
            && strncasecmp((const char *) param->name, name, len) == 0)
        {
            return 1;
        }
    }

    return rc;
}


/*
 * Takes the next ";name=value".  Returns 1, 0 at the end, or -1.
 */
static int
param_next(const uint8_t **p, const uint8_t *last, param_t *param)
{
    const uint8_t  *s;

    s = param_space(*p, last);

    if (s == last) {
        return 0;
    }

    if (*s != ';') {
        return -1;
    }

    s = param_space(s + 1, last);

    if (s == last) {
        return 0;       /* a semicolon at the end, as some have it */
    }

    param->name = s;

    while (s < last && param_is_token(*s)) {
        s++;
    }

    param->name_len = s - param->name;

    s = param_space(s, last);

    if (param->name_len == 0 || s == last || *s != '=') {
        return -1;
    }

    *p = param_space(s + 1, last);

    return param_value(p, last, param);
}


static int
param_value(const uint8_t **p, const uint8_t *last, param_t *param)
{
    const uint8_t  *s;

    s = *p;
    param->quoted = (s < last && *s == '"');

    if (!param->quoted) {
        param->value = s;

        while (s < last && *s != ';' && *s != ' ' && *s != '\t') {
            s++;
        }

        param->value_len = s - param->value;
        *p = s;

        return 1;
    }

    param->value = ++s;

    while (s < last && *s != '"') {
        s += (*s == '\\' && last - s > 1 && (s[1] == '"' || s[1] == '\\'))
             ? 2 : 1;
    }

    if (s >= last) {
        return -1;
    }

    param->value_len = s - param->value;
    *p = s + 1;

    return 1;
}


static const uint8_t *
param_space(const uint8_t *p, const uint8_t *last)
{
    while (p < last && (*p == ' ' || *p == '\t')) {
        p++;
    }

    return p;
}


static int
param_is_token(uint8_t c)
{
    return c > 0x20 && c < 0x7f && strchr("()<>@,;:\\\"/[]?=", c) == NULL;
}


static int
param_plain(const param_t *param, uint8_t *dst, size_t size, size_t *len)
{
    const uint8_t  *p, *last;

    p = param->value;
    last = p + param->value_len;

    while (p < last) {

        if (param->quoted
            && *p == '\\'
            && last - p > 1
            && strchr("()<>@,;:\\\"/[]?=", p[1]) != NULL
            && p[1] != '\0')
        {
            p++;
        }

        if (*len == size) {
            return -1;
        }

        dst[(*len)++] = *p++;
    }

    return 0;
}


/*
 * Appends a percent-encoded value; charset: it begins with charset'language'.
 * Returns 1 for a charset other than UTF-8 and ASCII.
 */
static int
param_encoded(const param_t *param, int charset, uint8_t *dst, size_t size,
    size_t *len)
{
    size_t          n;
    const uint8_t  *p, *s, *last;

    p = param->value;
    last = p + param->value_len;

    if (charset) {
        s = memchr(p, '\'', last - p);

        if (s == NULL) {
            return -1;
        }

        n = s - p;

        if (!(n == 5 && strncasecmp((const char *) p, "utf-8", 5) == 0)
            && !(n == 8 && strncasecmp((const char *) p, "us-ascii", 8) == 0))
        {
            return 1;
        }

        p = memchr(s + 1, '\'', last - s - 1);

        if (p++ == NULL) {
            return -1;
        }
    }

    while (p < last) {

        if (*len == size) {
            return -1;
        }

        if (*p != '%') {
            dst[(*len)++] = *p++;
            continue;
        }

        if (last - p < 3 || param_hex(p[1]) < 0 || param_hex(p[2]) < 0) {
            return -1;
        }

        dst[(*len)++] = param_hex(p[1]) * 16 + param_hex(p[2]);
        p += 3;
    }

    return 0;
}


/*
 * name*0=a; name*1*=b%20; ...  Returns 1, 0 if there are none, or -1.
 */
static int
param_pieces(const uint8_t *p, const uint8_t *last, const char *name,
    uint8_t *dst, size_t size, size_t *len)
{
    int       rc;
    char      text[PARAM_NAME];
    param_t   param;
    unsigned  i;

    for (i = 0; i < PARAM_PIECES; i++) {
        snprintf(text, sizeof(text), "%s*%u", name, i);

        rc = param_find(p, last, text, &param);

        if (rc == 1) {
            rc = param_plain(&param, dst, size, len);

        } else if (rc == 0) {
            snprintf(text, sizeof(text), "%s*%u*", name, i);

            rc = param_find(p, last, text, &param);

            if (rc == 0) {
                break;
            }

            if (rc == 1) {
                rc = param_encoded(&param, i == 0, dst, size, len);
            }
        }

        if (rc != 0) {
            return -1;
        }
    }

    return i != 0;
}


static int
param_hex(uint8_t c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }

    c |= 0x20;

    return (c >= 'a' && c <= 'f') ? c - 'a' + 10 : -1;
}
