
#include "engine/core/conf.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "engine/core/types.h"


static const char **conf_copy_list(const char **list);


int
conf_copy(engine_conf_t *conf, const engine_conf_t *from)
{
    *conf = *from;

    conf->path = strdup(from->path);
    conf->listen = strdup(from->listen);
    conf->dht_bootstrap = strdup(from->dht_bootstrap);
    conf->public_ip = strdup(from->public_ip);
    conf->camouflage = strdup(from->camouflage);
    conf->implicit_trackers = conf_copy_list(from->implicit_trackers);

    return (conf->path == NULL
            || conf->listen == NULL
            || conf->dht_bootstrap == NULL
            || conf->public_ip == NULL
            || conf->camouflage == NULL
            || (conf->implicit_trackers == NULL
                && from->implicit_trackers != NULL))
           ? ENOMEM : 0;
}


static const char **
conf_copy_list(const char **list)
{
    size_t        i, n;
    const char  **copy;

    if (list == NULL) {
        return NULL;
    }

    for (n = 0; list[n] != NULL; n++) { /* void */ }

    copy = calloc(n + 1, sizeof(char *));

    for (i = 0; copy != NULL && i < n; i++) {
        copy[i] = strdup(list[i]);
    }

    return copy;
}


void
conf_free(engine_conf_t *conf)
{
    const char  **text;

    for (text = conf->implicit_trackers; text != NULL && *text != NULL;
         text++)
    {
        free((void *) *text);
    }

    free(conf->implicit_trackers);
    free((void *) conf->camouflage);
    free((void *) conf->public_ip);
    free((void *) conf->dht_bootstrap);
    free((void *) conf->listen);
    free((void *) conf->path);
}


void
conf_shim(const engine_conf_t *conf, shim_config_t *config)
{
    memset(config, 0, sizeof(shim_config_t));

    config->size = sizeof(shim_config_t);
    config->listen = conf->listen;
    config->dht_bootstrap = conf->dht_bootstrap;
    config->public_ip = conf->public_ip;
    config->camouflage = conf->camouflage;
    config->blocked = (const shim_range_t *) conf->blocklist;
    config->blocked_n = conf->blocklist_n;
    config->upload_rate = conf->upload_rate;
    config->download_rate = conf->download_rate;
    config->max_connections = conf->max_connections;
    config->user_agent = ENGINE_NAME "/" ENGINE_VERSION;
    config->dht = conf->dht;
    config->pex = conf->pex;
    config->lsd = conf->lsd;
    config->private_networks = conf->private_networks;
    config->utp = conf->utp;
    config->tcp = conf->tcp;
    config->upnp = conf->upnp;
    config->trackers = conf->trackers;
    config->override_trackers = conf->override_trackers;
    config->seed = conf->seed;
}
