/*
 * What peers say of themselves when they greet, kept in an SQLite database:
 * who wants to look like common clients learns from it how these look.
 *
 *      CREATE TABLE peers (infohash BLOB, extension_bytes BLOB, peer_id TEXT,
 *          remote_addr TEXT, extended_handshake BLOB, extended_v TEXT)
 *
 * One row per completed handshake; the last two are NULL for a peer without
 * the extension protocol (BEP 10).
 */

#ifndef CONFLUENCE_SHIM_CAMOUFLAGE_HPP
#define CONFLUENCE_SHIM_CAMOUFLAGE_HPP

#include <condition_variable>
#include <deque>
#include <mutex>
#include <string>
#include <thread>

struct sqlite3;

namespace shim
{

class event_queue;

struct greeting
{
    std::string infohash; /* 20 bytes */
    std::string reserved; /* 8 bytes of the handshake */
    std::string peer_id;  /* 20 bytes */
    std::string address;  /* "1.2.3.4:5" */
    bool extended;
    std::string payload; /* the extended handshake, bencoded */
    std::string version; /* "v" of it */
};

/* Writes on a thread of its own; what comes too fast is not kept. */
class camouflage
{
public:
    /* Opens or makes the database; what fails is an event. */
    camouflage(std::string const& path, event_queue& events);
    ~camouflage();
    camouflage(camouflage const&) = delete;
    camouflage& operator=(camouflage const&) = delete;

    /* Any thread. */
    void keep(greeting g);

private:
    void loop();
    void write(std::deque<greeting> const& rows);
    void complain(char const* what);

    event_queue& m_events;
    sqlite3* m_db = nullptr;
    std::mutex m_mutex;
    std::condition_variable m_work;
    std::deque<greeting> m_rows;
    bool m_quit = false;
    std::thread m_thread;
};

} // namespace shim

#endif
