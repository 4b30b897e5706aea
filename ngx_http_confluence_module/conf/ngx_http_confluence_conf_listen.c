
/*
 * Directives that bound what the engine does in the network: who it talks to,
 * how much, and what it says of itself.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "ngx_http_confluence_module.h"


static void ngx_http_confluence_conf_free(void *data);


char *
ngx_http_confluence_conf_listen(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf)
{
    ngx_http_confluence_main_conf_t *mcf = conf;

    char        *err;
    ngx_str_t   *value;
    ngx_uint_t   i;

    if (mcf->listen.addrs) {
        return "is duplicate";
    }

    value = cf->args->elts;

    for (i = 1; i < cf->args->nelts; i++) {
        err = ngx_http_confluence_conf_listen_add(cf, &mcf->listen, &value[i]);

        if (err == NGX_CONF_ERROR) {
            return NGX_CONF_ERROR;
        }

        if (err) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "%s in \"%V\" of the \"%V\" directive",
                               err, &value[i], &cmd->name);
            return NGX_CONF_ERROR;
        }
    }

    return NGX_CONF_OK;
}


char *
ngx_http_confluence_conf_listen_add(ngx_conf_t *cf,
    ngx_http_confluence_listen_t *listen, ngx_str_t *value)
{
    char         *err;
    u_char       *p;
    ngx_url_t     u;
    ngx_str_t     any;
    ngx_uint_t    i;
    ngx_addr_t   *addr;
    static char  *families[] = { "0.0.0.0", "[::]" };

    ngx_memzero(&u, sizeof(ngx_url_t));

    u.url = *value;
    u.listen = 1;
    u.no_resolve = 1;

    if (ngx_parse_url(cf->pool, &u) != NGX_OK
        || u.family == AF_UNIX
        || u.naddrs == 0
        || u.no_port
        || u.last_port)
    {
        return u.err ? u.err : "no address and port";
    }

    if (u.host.len == 0 || u.host.data[0] == '*') {

        /* a port alone: both families */

        for (i = 0; i < 2; i++) {
            p = ngx_pnalloc(cf->pool, sizeof("0.0.0.0:65535"));
            if (p == NULL) {
                return NGX_CONF_ERROR;
            }

            any.data = p;
            any.len = ngx_sprintf(p, "%s:%V", families[i], &u.port_text) - p;

            err = ngx_http_confluence_conf_listen_add(cf, listen, &any);

            if (err) {
                return err;
            }
        }

        return NULL;
    }

    if (listen->addrs == NULL) {
        listen->addrs = ngx_array_create(cf->pool, 2, sizeof(ngx_addr_t));
        if (listen->addrs == NULL) {
            return NGX_CONF_ERROR;
        }
    }

    addr = ngx_array_push(listen->addrs);
    if (addr == NULL) {
        return NGX_CONF_ERROR;
    }

    *addr = u.addrs[0];
    addr->name = *value;

    return (ngx_http_confluence_conf_join(cf, &listen->text, value) == NGX_OK)
           ? NULL : NGX_CONF_ERROR;
}


ngx_str_t *
ngx_http_confluence_conf_listen_clash(ngx_http_confluence_listen_t *one,
    ngx_http_confluence_listen_t *other)
{
    ngx_uint_t        i, k;
    ngx_addr_t       *a, *b;
    struct sockaddr  *sa, *sb;

    a = one->addrs->elts;

    for (i = 0; i < one->addrs->nelts; i++) {
        sa = a[i].sockaddr;
        b = other->addrs->elts;

        for (k = 0; k < other->addrs->nelts; k++) {
            sb = b[k].sockaddr;

            if (sa->sa_family != sb->sa_family
                || ngx_inet_get_port(sa) != ngx_inet_get_port(sb))
            {
                continue;
            }

            if (ngx_inet_wildcard(sa)
                || ngx_inet_wildcard(sb)
                || ngx_cmp_sockaddr(sa, a[i].socklen, sb, b[k].socklen, 0)
                   == NGX_OK)
            {
                return &b[k].name;
            }
        }
    }

    return NULL;
}


/* Addresses joined by commas, as the engine takes them. */

char *
ngx_http_confluence_conf_public_ip(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf)
{
    ngx_http_confluence_main_conf_t *mcf = conf;

    ngx_str_t   *value;
    ngx_uint_t   i;
    ngx_addr_t   addr;

    if (mcf->public_ip.data) {
        return "is duplicate";
    }

    value = cf->args->elts;

    for (i = 1; i < cf->args->nelts; i++) {

        if (ngx_parse_addr(cf->pool, &addr, value[i].data, value[i].len)
            != NGX_OK)
        {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "invalid address \"%V\" in \"%V\" directive",
                               &value[i], &cmd->name);
            return NGX_CONF_ERROR;
        }

        if (ngx_http_confluence_conf_join(cf, &mcf->public_ip, &value[i])
            != NGX_OK)
        {
            return NGX_CONF_ERROR;
        }
    }

    return NGX_CONF_OK;
}


char *
ngx_http_confluence_conf_camouflage_data(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf)
{
    ngx_http_confluence_main_conf_t *mcf = conf;

    ngx_str_t  *value;

    if (mcf->camouflage_data.data) {
        return "is duplicate";
    }

    value = cf->args->elts;
    mcf->camouflage_data = value[1];

    if (mcf->camouflage_data.len == 3
        && ngx_strncmp(mcf->camouflage_data.data, "off", 3) == 0)
    {
        mcf->camouflage_data.len = 0;
        return NGX_CONF_OK;
    }

    if (ngx_conf_full_name(cf->cycle, &mcf->camouflage_data, 0) != NGX_OK) {
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}


char *
ngx_http_confluence_conf_blocklist(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf)
{
    ngx_http_confluence_main_conf_t *mcf = conf;

    size_t              n;
    ngx_str_t          *value;
    blocklist_range_t  *ranges;
    ngx_pool_cleanup_t *cln;
    char                err[128];

    if (mcf->blocklist) {
        return "is duplicate";
    }

    value = cf->args->elts;

    if (ngx_conf_full_name(cf->cycle, &value[1], 1) != NGX_OK) {
        return NGX_CONF_ERROR;
    }

    cln = ngx_pool_cleanup_add(cf->pool, 0);
    if (cln == NULL) {
        return NGX_CONF_ERROR;
    }

    /* now, as root; the engine's process may not be allowed to */

    if (blocklist_read((char *) value[1].data, &ranges, &n, err, sizeof(err))
        != 0)
    {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "blocklist \"%V\": %s",
                           &value[1], err);
        return NGX_CONF_ERROR;
    }

    cln->handler = ngx_http_confluence_conf_free;
    cln->data = ranges;

    mcf->blocklist = ranges;
    mcf->blocklist_n = n;

    return NGX_CONF_OK;
}


static void
ngx_http_confluence_conf_free(void *data)
{
    free(data);
}


/* Bytes per second: fits what libtorrent keeps it in. */

char *
ngx_http_confluence_conf_rate(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    char  *p = conf;

    size_t     *rate;
    ngx_str_t  *value;

    rate = (size_t *) (p + cmd->offset);

    if (*rate != NGX_CONF_UNSET_SIZE) {
        return "is duplicate";
    }

    value = cf->args->elts;

    if (ngx_strcmp(value[1].data, "off") == 0) {
        *rate = 0;
        return NGX_CONF_OK;
    }

    *rate = ngx_parse_size(&value[1]);

    if (*rate == (size_t) NGX_ERROR || *rate == 0
        || *rate > NGX_MAX_INT32_VALUE)
    {
        return "invalid value";
    }

    return NGX_CONF_OK;
}
