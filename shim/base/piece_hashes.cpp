#include "shim/base/piece_hashes.hpp"

#include <algorithm>
#include <cstring>
#include <mutex>

#include <libtorrent/hasher.hpp>

namespace shim
{

namespace
{

/*
 * The root of a tree over leaves, which are padded with pad to a power of two
 * of at least width leaves (BEP 52).
 */
lt::sha256_hash merkle_root(std::vector<lt::sha256_hash> level,
    std::size_t const width,
    lt::sha256_hash pad)
{
    std::size_t n = 1;

    while (n < width || n < level.size())
        n *= 2;

    while (n > 1)
    {
        if (level.size() % 2 == 1)
            level.push_back(pad);

        for (std::size_t i = 0; i < level.size() / 2; ++i)
        {
            lt::hasher256 h;
            h.update(level[2 * i]);
            h.update(level[2 * i + 1]);
            level[i] = h.final();
        }

        level.resize(level.size() / 2);

        lt::hasher256 h;
        h.update(pad);
        h.update(pad);
        pad = h.final();
        n /= 2;
    }

    return level.empty() ? pad : level.front();
}

/* The root of a tree of n (a power of two) zero leaves. */
lt::sha256_hash zero_root(std::size_t n)
{
    lt::sha256_hash pad;

    for (; n > 1; n /= 2)
    {
        lt::hasher256 h;
        h.update(pad);
        h.update(pad);
        pad = h.final();
    }

    return pad;
}

} // namespace

piece_hashes::piece_hashes(std::uint32_t const piece_length,
    std::uint64_t const total_size,
    std::string v1,
    std::vector<file_tree> trees)
    : m_piece_length(piece_length)
    , m_total_size(total_size)
    , m_v1(std::move(v1))
    , m_trees(std::move(trees))
{
    for (file_tree& t : m_trees)
    {
        t.layer.resize(t.piece_n);

        /* BEP 52: a file of one piece has no layer, the root is the hash */
        if (t.piece_n == 1)
            t.layer[0] = t.root;
    }
}

std::uint32_t piece_hashes::piece_size(std::uint32_t const piece) const
{
    std::uint64_t const begin = std::uint64_t(piece) * m_piece_length;

    return std::uint32_t(
        std::min<std::uint64_t>(m_piece_length, m_total_size - begin));
}

file_tree const* piece_hashes::find(std::uint32_t const piece) const
{
    auto const i = std::upper_bound(m_trees.begin(),
        m_trees.end(),
        piece,
        [](std::uint32_t const p, file_tree const& t)
        { return p < t.first_piece; });

    if (i == m_trees.begin())
        return nullptr;

    file_tree const& t = *std::prev(i);

    return piece - t.first_piece < t.piece_n ? &t : nullptr;
}

std::uint32_t piece_hashes::piece_size2(std::uint32_t const piece) const
{
    file_tree const* const t = find(piece);

    if (t == nullptr)
        return 0;

    std::uint64_t const begin =
        std::uint64_t(piece - t->first_piece) * m_piece_length;

    return std::uint32_t(
        std::min<std::uint64_t>(m_piece_length, t->length - begin));
}

bool piece_hashes::v2_hash(
    std::uint32_t const piece, lt::sha256_hash& hash) const
{
    file_tree const* const t = find(piece);

    if (t == nullptr)
        return false;

    std::shared_lock<std::shared_mutex> lock(m_mutex);

    hash = t->layer[piece - t->first_piece];
    return !hash.is_all_zeros();
}

bool piece_hashes::known(std::uint32_t const piece) const
{
    lt::sha256_hash hash;

    return !has_v2() || v2_hash(piece, hash);
}

bool piece_hashes::add_layer(
    lt::sha256_hash const& root, char const* const p, std::size_t const len)
{
    if (len % lt::sha256_hash::size() != 0)
        return false;

    std::vector<lt::sha256_hash> layer;
    layer.reserve(len / lt::sha256_hash::size());

    for (std::size_t i = 0; i < len; i += lt::sha256_hash::size())
        layer.emplace_back(p + i);

    bool good = false;

    for (file_tree& t : m_trees)
    {
        if (t.root != root || t.piece_n != layer.size())
            continue;

        if (!good
            && merkle_root(layer, 1, zero_root(m_piece_length / block_size))
                != root)
        {
            return false;
        }

        std::unique_lock<std::shared_mutex> lock(m_mutex);
        t.layer = layer;
        good = true;
    }

    return good;
}

void piece_hashes::add_layers(
    std::vector<std::vector<lt::sha256_hash>> const& layers)
{
    std::unique_lock<std::shared_mutex> lock(m_mutex);

    for (file_tree& t : m_trees)
    {
        if (t.piece_n == 1 || t.file >= layers.size())
            continue;

        std::vector<lt::sha256_hash> const& from = layers[t.file];

        if (from.size() != t.layer.size())
            continue;

        for (std::size_t i = 0; i < from.size(); ++i)
        {
            if (t.layer[i].is_all_zeros())
                t.layer[i] = from[i];
        }
    }
}

bool piece_hashes::layers_whole() const
{
    std::shared_lock<std::shared_mutex> lock(m_mutex);

    return std::all_of(m_trees.begin(),
        m_trees.end(),
        [](file_tree const& t)
        {
            return std::none_of(t.layer.begin(),
                t.layer.end(),
                [](lt::sha256_hash const& h) { return h.is_all_zeros(); });
        });
}

std::vector<std::pair<std::string, std::string>>
piece_hashes::whole_layers() const
{
    std::vector<std::pair<std::string, std::string>> out;
    std::shared_lock<std::shared_mutex> lock(m_mutex);

    for (file_tree const& t : m_trees)
    {
        std::string bytes;

        if (t.piece_n == 1)
            continue;

        for (lt::sha256_hash const& h : t.layer)
        {
            if (h.is_all_zeros())
            {
                bytes.clear();
                break;
            }

            bytes += h.to_string();
        }

        if (!bytes.empty())
            out.emplace_back(t.root.to_string(), std::move(bytes));
    }

    lock.unlock();

    /* keys of a dictionary: sorted, and the same file twice has one key */
    std::sort(out.begin(), out.end());
    out.erase(std::unique(out.begin(), out.end()), out.end());
    return out;
}

lt::sha256_hash piece_hashes::piece_root(
    std::uint32_t const piece, std::vector<lt::sha256_hash> blocks) const
{
    file_tree const* const t = find(piece);
    std::size_t const width = t->piece_n > 1 ? m_piece_length / block_size : 1;

    return merkle_root(std::move(blocks), width, lt::sha256_hash());
}

verdict piece_hashes::judge(
    std::uint32_t const piece, piece_check const& c) const
{
    bool const v1_good = has_v1()
        && std::memcmp(m_v1.data() + std::size_t(piece) * 20, c.v1.data(), 20)
            == 0;
    lt::sha256_hash want;

    if (!has_v2() || find(piece) == nullptr)
        return v1_good ? verdict::good : verdict::bad;

    if (!v2_hash(piece, want))
    {
        /* v1 suffices for a hybrid whose layers have not come yet */
        if (has_v1())
            return v1_good ? verdict::good : verdict::bad;

        return verdict::unknown;
    }

    bool const v2_good = piece_root(piece, c.blocks) == want;

    if (has_v1() && v1_good != v2_good)
        return verdict::inconsistent;

    return v2_good ? verdict::good : verdict::bad;
}

piece_check piece_hashes::check(
    std::uint32_t const piece, char const* const bytes) const
{
    piece_check c;
    lt::hasher v1;
    std::uint32_t const size = has_v1() ? piece_size(piece) : 0;
    std::uint32_t const size2 = has_v2() ? piece_size2(piece) : 0;
    std::uint32_t const end = std::max(size, size2);

    c.blocks.reserve((size2 + block_size - 1) / block_size);

    /* block by block: for a hybrid the second hash finds it in the CPU cache */
    for (std::uint32_t pos = 0; pos < end; pos += block_size)
    {
        if (pos < size)
        {
            std::uint32_t const len = std::min(block_size, size - pos);
            v1.update({bytes + pos, std::ptrdiff_t(len)});
        }

        if (pos < size2)
        {
            std::uint32_t const len = std::min(block_size, size2 - pos);
            lt::hasher256 v2;
            v2.update({bytes + pos, std::ptrdiff_t(len)});
            c.blocks.push_back(v2.final());
        }
    }

    if (has_v1())
        c.v1 = v1.final();

    c.result = judge(piece, c);
    return c;
}

} // namespace shim
