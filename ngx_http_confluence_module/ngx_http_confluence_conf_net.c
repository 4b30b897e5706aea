
/*
 * Directives that bound what the engine does in the network: who it talks to,
 * how much, and what it says of itself.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "ngx_http_confluence_module.h"


static void ngx_http_confluence_conf_free(void *data);


/* Addresses joined by commas, as the engine takes them. */

char *
ngx_http_confluence_conf_public_ip(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf)
{
    ngx_http_confluence_main_conf_t *mcf = conf;

    ngx_str_t   *value;
    ngx_uint_t   i;
    ngx_addr_t   addr;
    static ngx_str_t   none = ngx_string("");

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

        if (ngx_http_confluence_conf_join(cf, &mcf->public_ip, &none,
                                          &value[i])
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
