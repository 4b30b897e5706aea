
/*
 * Sources of the info that magnets name by URL, xs and as: a .torrent by HTTP
 * or HTTPS, asked for beside the swarm.  Whoever is first gives the info.
 *
 *      engine thread                    a thread for each that runs
 *      fetch_source() ------- job --->  curl: the .torrent; is it of the
 *      fetch_event() <------ done ----  torrent that was asked for?
 *          yes: the torrent gets its info and is told of its sources
 *          no:  logged; not asked again for a while
 *      fetch_forget() -- cancel, wake ->  ends at once
 *
 * Whoever may ask can make us fetch what he likes.  Therefore:
 *
 *  1. Only http: and https:, as it is for redirects, of which we follow few.
 *  2. The address is checked when the socket is opened, thus after each name
 *     was resolved: what peers, trackers and web seeds may not have
 *     (confluence_private_networks, confluence_blocklist) sources may not.
 *  3. No proxy, cookie or password of the environment or of files is used.
 *  4. Bytes, time, sources of a torrent, and those that run are bounded; and
 *     no encoding is asked for or undone, which could make little much.
 *  5. Nothing of the answer is told to a client: only a .torrent whose info
 *     has the infohash that was asked for leaves here.
 */

#ifndef _ENGINE_FETCH_H_INCLUDED_
#define _ENGINE_FETCH_H_INCLUDED_


#include "engine/core/types.h"


/* Returns 0 or an errno.  Threads and libcurl come with the first source. */
int fetch_open(engine_t *engine);

/*
 * Waits for what runs, which was cancelled when its torrents were dropped.
 * Before the shim is closed; harmless if called again.
 */
void fetch_close(engine_t *engine);

/* The descriptor that is readable when fetch_event() has something to do. */
int fetch_fd(const engine_t *engine);
void fetch_event(engine_t *engine);

/*
 * A request's magnet says that the torrent's .torrent is there; nothing is
 * done if the torrent has its info, if that URL is being asked or was not long
 * ago, or if it is none of HTTP.
 */
void fetch_source(torrent_t *torrent, const char *url);

/* The torrent has its info, or is dropped. */
void fetch_forget(torrent_t *torrent);


#endif /* _ENGINE_FETCH_H_INCLUDED_ */
