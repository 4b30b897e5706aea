
/*
 * /metrics: the text form of Prometheus, version 0.0.4.
 *
 *      confluence_..._total           counters.h: they outlive all processes
 *      confluence_...                 gauges, of the moment
 *      confluence_libtorrent_...      libtorrent's own, since its engine began
 */

#ifndef _ENGINE_METRICS_H_INCLUDED_
#define _ENGINE_METRICS_H_INCLUDED_


#include <stdio.h>

#include "engine/core/types.h"


/* Writes it; asks nobody.  Engine thread. */
void metrics_text(engine_t *engine, FILE *out);


#endif /* _ENGINE_METRICS_H_INCLUDED_ */
