/*
 * The queue from libtorrent's and our own threads to the owner thread.
 *
 * Whoever has something to say appends and writes the eventfd; only the owner
 * thread takes.  Alerts stay in libtorrent's own queue and only wake the
 * eventfd; they are translated when the owner comes for them.
 */

#ifndef CONFLUENCE_SHIM_EVENTS_HPP
#define CONFLUENCE_SHIM_EVENTS_HPP

#include <cstdint>
#include <deque>
#include <mutex>
#include <string>

#include "shim/api/shim.h"

namespace shim
{

class event_queue
{
public:
    event_queue();
    ~event_queue();
    event_queue(event_queue const&) = delete;
    event_queue& operator=(event_queue const&) = delete;

    int fd() const { return m_fd; }

    /* Makes the eventfd readable.  Any thread, never blocks. */
    void wake() noexcept;

    /* Appends and wakes; an event is lost only if memory is.  Any thread. */
    void push(shim_event_t const& ev) noexcept;

    void piece(shim_event_type_t type,
        shim_id_t id,
        std::uint32_t piece,
        int error = 0) noexcept;

    void text(shim_event_type_t type,
        shim_id_t id,
        int level,
        std::string const& text) noexcept;

    void log(shim_id_t id, int level, std::string const& message) noexcept
    {
        text(SHIM_EVENT_LOG, id, level, message);
    }

    /* Resets the eventfd and moves all events to out.  Owner thread. */
    void take(std::deque<shim_event_t>& out);

private:
    std::mutex m_mutex;
    std::deque<shim_event_t> m_events;
    int m_fd;
};

/* Copies text to a terminated buffer, cut, control characters replaced. */
void copy_text(char* dst, std::size_t size, std::string const& text) noexcept;

} // namespace shim

#endif
