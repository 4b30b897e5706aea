#include "shim/base/event_queue.hpp"

#include <cerrno>
#include <cstring>
#include <system_error>

#include <sys/eventfd.h>
#include <unistd.h>

namespace shim
{

event_queue::event_queue()
    : m_fd(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC))
{
    if (m_fd == -1)
        throw std::system_error(errno, std::generic_category(), "eventfd()");
}

event_queue::~event_queue()
{
    ::close(m_fd);
}

void event_queue::wake() noexcept
{
    std::uint64_t const one = 1;

    /* EAGAIN means that the counter is full, thus readable already */
    ssize_t const n = ::write(m_fd, &one, sizeof(one));
    static_cast<void>(n);
}

void event_queue::push(shim_event_t const& ev) noexcept
{
    try
    {
        std::lock_guard<std::mutex> lock(m_mutex);
        m_events.push_back(ev);
    }
    catch (std::bad_alloc const&)
    {
        /* the map and the storage are the truth, an event is a hint */
    }

    wake();
}

void event_queue::piece(shim_event_type_t const type,
    shim_id_t const id,
    std::uint32_t const piece,
    int const error) noexcept
{
    shim_event_t ev{};

    ev.type = type;
    ev.id = id;
    ev.piece = piece;
    ev.error = error;
    push(ev);
}

void event_queue::text(shim_event_type_t const type,
    shim_id_t const id,
    int const level,
    std::string const& text) noexcept
{
    shim_event_t ev{};

    ev.type = type;
    ev.id = id;
    ev.level = static_cast<std::uint8_t>(level);
    copy_text(ev.text, sizeof(ev.text), text);
    push(ev);
}

void event_queue::take(std::deque<shim_event_t>& out)
{
    std::uint64_t count;

    /* reset first: what is appended after this line wakes again */
    ssize_t const n = ::read(m_fd, &count, sizeof(count));
    static_cast<void>(n);

    std::lock_guard<std::mutex> lock(m_mutex);

    if (out.empty())
    {
        out.swap(m_events);
        return;
    }

    out.insert(out.end(), m_events.begin(), m_events.end());
    m_events.clear();
}

void copy_text(
    char* const dst, std::size_t const size, std::string const& text) noexcept
{
    if (size == 0)
        return;

    std::size_t const n = text.size() < size ? text.size() : size - 1;

    for (std::size_t i = 0; i < n; ++i)
    {
        auto const c = static_cast<unsigned char>(text[i]);
        dst[i] = c < 0x20 || c == 0x7f ? '.' : text[i];
    }

    dst[n] = '\0';
}

} // namespace shim
