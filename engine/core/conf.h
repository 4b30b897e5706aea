
/*
 * The engine's own copy of its configuration, and what the shim gets of it.
 */

#ifndef _ENGINE_CONF_H_INCLUDED_
#define _ENGINE_CONF_H_INCLUDED_


#include "engine/engine.h"

#include "shim/api/shim.h"


/*
 * Copies a configuration with all its texts; the blocklist stays the caller's.
 * Returns 0 or ENOMEM; what was copied is freed by conf_free() in any case.
 */
int conf_copy(engine_conf_t *conf, const engine_conf_t *from);
void conf_free(engine_conf_t *conf);

/* Fills what the configuration says; the texts stay those of conf. */
void conf_shim(const engine_conf_t *conf, shim_config_t *config);


#endif /* _ENGINE_CONF_H_INCLUDED_ */
