
#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "ngx_http_confluence_module.h"


static ngx_int_t ngx_http_confluence_infohash_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
static ngx_int_t ngx_http_confluence_cache_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
static ngx_int_t ngx_http_confluence_wait_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
static ngx_int_t ngx_http_confluence_bytes_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
static ngx_int_t ngx_http_confluence_variable(ngx_http_variable_value_t *v,
    u_char *data, size_t len);


static ngx_http_variable_t  ngx_http_confluence_vars[] = {

    { ngx_string("confluence_infohash"), NULL,
      ngx_http_confluence_infohash_variable, 0, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("confluence_cache_status"), NULL,
      ngx_http_confluence_cache_variable, 0, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("confluence_wait_time"), NULL,
      ngx_http_confluence_wait_variable, 0, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("confluence_bytes_cached"), NULL,
      ngx_http_confluence_bytes_variable, 0, NGX_HTTP_VAR_NOCACHEABLE, 0 },

      ngx_http_null_variable
};


ngx_int_t
ngx_http_confluence_add_variables(ngx_conf_t *cf)
{
    ngx_http_variable_t  *var, *v;

    for (v = ngx_http_confluence_vars; v->name.len; v++) {
        var = ngx_http_add_variable(cf, &v->name, v->flags);
        if (var == NULL) {
            return NGX_ERROR;
        }

        var->get_handler = v->get_handler;
        var->data = v->data;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_confluence_infohash_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    u_char                     *p, *ih;
    ngx_http_confluence_ctx_t  *ctx;

    ctx = ngx_http_get_module_ctx(r, ngx_http_confluence_module);

    if (ctx == NULL || !ctx->selected) {
        v->not_found = 1;
        return NGX_OK;
    }

    ih = ctx->hash.ih;

    if (ctx->data && ctx->data->torrent) {
        ih = ctx->data->torrent->ih;
    }

    p = ngx_pnalloc(r->pool, 40);
    if (p == NULL) {
        return NGX_ERROR;
    }

    (void) ngx_hex_dump(p, ih, 20);

    return ngx_http_confluence_variable(v, p, 40);
}


static ngx_int_t
ngx_http_confluence_cache_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    ngx_http_confluence_ctx_t  *ctx;

    ctx = ngx_http_get_module_ctx(r, ngx_http_confluence_module);

    if (ctx && ctx->data) {

        switch (ctx->data->cache) {

        case ngx_http_confluence_hit:
            return ngx_http_confluence_variable(v, (u_char *) "HIT", 3);

        case ngx_http_confluence_partial:
            return ngx_http_confluence_variable(v, (u_char *) "PARTIAL", 7);

        case ngx_http_confluence_miss:
            return ngx_http_confluence_variable(v, (u_char *) "MISS", 4);

        default: /* ngx_http_confluence_unknown */
            break;
        }
    }

    v->not_found = 1;

    return NGX_OK;
}


static ngx_int_t
ngx_http_confluence_wait_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    u_char                     *p;
    ngx_msec_t                  ms;
    ngx_http_confluence_ctx_t  *ctx;

    ctx = ngx_http_get_module_ctx(r, ngx_http_confluence_module);

    if (ctx == NULL) {
        v->not_found = 1;
        return NGX_OK;
    }

    ms = ctx->waited;

    if (ctx->waiting) {
        ms += ngx_current_msec - ctx->wait_start;
    }

    p = ngx_pnalloc(r->pool, NGX_TIME_T_LEN + 4);
    if (p == NULL) {
        return NGX_ERROR;
    }

    return ngx_http_confluence_variable(v, p,
                                        ngx_sprintf(p, "%T.%03M",
                                                    (time_t) ms / 1000,
                                                    ms % 1000)
                                        - p);
}


static ngx_int_t
ngx_http_confluence_bytes_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    u_char                     *p;
    ngx_http_confluence_ctx_t  *ctx;

    ctx = ngx_http_get_module_ctx(r, ngx_http_confluence_module);

    if (ctx == NULL || ctx->data == NULL
        || ctx->data->cache == ngx_http_confluence_unknown)
    {
        v->not_found = 1;
        return NGX_OK;
    }

    p = ngx_pnalloc(r->pool, NGX_OFF_T_LEN);
    if (p == NULL) {
        return NGX_ERROR;
    }

    return ngx_http_confluence_variable(v, p,
                                        ngx_sprintf(p, "%O",
                                                    ctx->data->cached)
                                        - p);
}


static ngx_int_t
ngx_http_confluence_variable(ngx_http_variable_value_t *v, u_char *data,
    size_t len)
{
    v->len = len;
    v->data = data;
    v->valid = 1;
    v->no_cacheable = 0;
    v->not_found = 0;

    return NGX_OK;
}
