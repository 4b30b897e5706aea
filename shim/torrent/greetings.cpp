#include "shim/base/greetings.hpp"

#include <sqlite3.h>

#include <sstream>

#include "shim/torrent/peer.hpp"

namespace shim
{

namespace
{

constexpr std::size_t max_rows = 10000; /* that wait */

void bind_blob(sqlite3_stmt* const st, int const i, std::string const& s)
{
    sqlite3_bind_blob(st, i, s.data(), int(s.size()), SQLITE_TRANSIENT);
}

void bind_text(sqlite3_stmt* const st, int const i, std::string const& s)
{
    sqlite3_bind_text(st, i, s.data(), int(s.size()), SQLITE_TRANSIENT);
}

/* In quotes; bytes that are not printable are \xNN. */
std::string quoted(std::string const& s)
{
    static char const digits[] = "0123456789abcdef";
    std::string out = "\"";

    for (char const ch : s)
    {
        unsigned const c = static_cast<unsigned char>(ch);

        if (c == '"' || c == '\\')
        {
            out += '\\';
            out += ch;
        }
        else if (c < 0x20 || c > 0x7e)
        {
            out += "\\x";
            out += digits[c >> 4];
            out += digits[c & 15];
        }
        else
        {
            out += ch;
        }
    }

    return out + '"';
}

} // namespace

camouflage::camouflage(std::string const& path, event_queue& events)
    : m_events(events)
{
    if (sqlite3_open(path.c_str(), &m_db) != SQLITE_OK
        || sqlite3_busy_timeout(m_db, 1000) != SQLITE_OK
        || sqlite3_exec(m_db,
               "CREATE TABLE IF NOT EXISTS peers (infohash BLOB, "
               "extension_bytes BLOB, peer_id TEXT, remote_addr TEXT, "
               "extended_handshake BLOB, extended_v TEXT)",
               nullptr,
               nullptr,
               nullptr)
            != SQLITE_OK)
    {
        complain(path.c_str());
        sqlite3_close(m_db);
        m_db = nullptr;
        return;
    }

    m_thread = std::thread([this] { loop(); });
}

camouflage::~camouflage()
{
    if (m_db == nullptr)
        return;

    {
        std::lock_guard<std::mutex> lock(m_mutex);
        m_quit = true;
    }

    m_work.notify_one();
    m_thread.join();
    sqlite3_close(m_db);
}

void camouflage::complain(char const* const what)
{
    std::string const text = std::string("camouflage data: ") + what + ": "
        + (m_db ? sqlite3_errmsg(m_db) : "no memory");

    m_events.text(SHIM_EVENT_LOG, 0, SHIM_LOG_ERR, text);
}

void camouflage::keep(greeting g)
{
    if (m_db == nullptr)
        return;

    std::lock_guard<std::mutex> lock(m_mutex);

    if (m_rows.size() >= max_rows)
        return;

    m_rows.push_back(std::move(g));
    m_work.notify_one();
}

void camouflage::loop()
{
    std::unique_lock<std::mutex> lock(m_mutex);

    for (;;)
    {
        m_work.wait(lock, [this] { return m_quit || !m_rows.empty(); });

        if (m_rows.empty())
            return;

        std::deque<greeting> rows;
        rows.swap(m_rows);

        lock.unlock();
        write(rows);
        lock.lock();
    }
}

void camouflage::write(std::deque<greeting> const& rows)
{
    sqlite3_stmt* st = nullptr;

    sqlite3_exec(m_db, "BEGIN", nullptr, nullptr, nullptr);

    if (sqlite3_prepare_v2(m_db,
            "INSERT INTO peers VALUES (?, ?, ?, ?, ?, ?)",
            -1,
            &st,
            nullptr)
        == SQLITE_OK)
    {
        for (greeting const& g : rows)
        {
            bind_blob(st, 1, g.infohash);
            bind_blob(st, 2, g.reserved);
            bind_text(st, 3, quoted(g.peer_id));
            bind_text(st, 4, g.address);

            if (g.extended)
            {
                bind_blob(st, 5, g.payload);
                bind_text(st, 6, g.version);
            }

            sqlite3_step(st);
            sqlite3_reset(st);
            sqlite3_clear_bindings(st);
        }
    }

    sqlite3_finalize(st);

    if (sqlite3_exec(m_db, "COMMIT", nullptr, nullptr, nullptr) != SQLITE_OK)
    {
        complain("commit");
        sqlite3_exec(m_db, "ROLLBACK", nullptr, nullptr, nullptr);
    }
}

/* The handshake is complete; h: the extended one, or invalid. */
void peer::keep_greeting(lt::bdecode_node const& h)
{
    std::shared_ptr<camouflage> const to = m_torrent->ctx->greetings;

    if (!to || m_kept || !m_greeted)
        return;

    greeting g;
    lt::info_hash_t const ih = m_torrent->handle.info_hashes();

    m_kept = true;
    g.infohash = ih.get_best().to_string();
    g.reserved = m_reserved;
    g.peer_id = m_pc.pid().to_string();
    g.address = (std::ostringstream() << m_pc.remote()).str();
    g.extended = h.type() == lt::bdecode_node::dict_t;

    if (g.extended)
    {
        lt::span<char const> const bytes = h.data_section();

        g.payload.assign(bytes.data(), std::size_t(bytes.size()));
        g.version = h.dict_find_string_value("v").to_string();
    }

    to->keep(std::move(g));
}

} // namespace shim
