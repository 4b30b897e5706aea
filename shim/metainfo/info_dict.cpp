#include "shim/metainfo/info_dict.hpp"

#include <limits>

#include <libtorrent/file_storage.hpp>
#include <libtorrent/hasher.hpp>

namespace shim
{

namespace
{

using lt::bdecode_node;

lt::string_view utf8_or(
    bdecode_node const& dict, char const* utf8, char const* plain)
{
    bdecode_node node = dict.dict_find_string(utf8);

    if (!node)
        node = dict.dict_find_string(plain);

    return node ? node.string_value() : lt::string_view();
}

/* The components of path.utf-8 or path, joined by '/', appended to out. */
void append_path(bdecode_node const& file, std::string& out)
{
    bdecode_node list = file.dict_find_list("path.utf-8");

    if (!list)
        list = file.dict_find_list("path");

    if (!list)
        return;

    int const n = list.list_size();

    for (int i = 0; i < n; ++i)
    {
        lt::string_view const s = list.list_string_value_at(i);

        if (i > 0)
            out += '/';

        out.append(s.data(), s.size());
    }
}

/*
 * Walks a v2 file tree in its own order, which is libtorrent's: calls
 * found(path) for each file.
 */
template <typename Found>
void walk_tree(bdecode_node const& dir,
    std::string const& prefix,
    int const depth,
    Found const& found)
{
    if (depth > max_depth)
        throw invalid_data("file tree is nested too deeply");

    int const n = dir.dict_size();

    for (int i = 0; i < n; ++i)
    {
        auto const [name, node] = dir.dict_at(i);

        if (node.type() != bdecode_node::dict_t)
            throw invalid_data("file tree entry is not a dictionary");

        std::string path = prefix;

        if (!path.empty())
            path += '/';

        path.append(name.data(), name.size());

        if (node.dict_size() > 0 && node.dict_at(0).first.empty())
            found(path);
        else
            walk_tree(node, path, depth + 1, found);
    }
}

/* Display paths of all files that are not padding of v2, in order. */
std::vector<std::string> display_paths(
    bdecode_node const& info, bool const v1, bool& single)
{
    std::vector<std::string> paths;
    std::string const name(utf8_or(info, "name.utf-8", "name"));
    bdecode_node const list = info.dict_find_list("files");

    single = false;

    if (v1 && list)
    {
        int const n = list.list_size();

        paths.resize(std::size_t(n));

        for (int i = 0; i < n; ++i)
            append_path(list.list_at(i), paths[std::size_t(i)]);

        return paths;
    }

    if (v1)
    {
        single = true;
        paths.push_back(name);
        return paths;
    }

    walk_tree(info.dict_find_dict("file tree"),
        std::string(),
        0,
        [&](std::string const& path) { paths.push_back(path); });

    /* BEP 52: a single file's tree has one entry, named like the torrent */
    single =
        paths.size() == 1 && paths[0] == info.dict_find_string_value("name");

    if (single)
        paths[0] = name;

    return paths;
}

void check_size(std::int64_t const length, std::uint64_t& total)
{
    if (length < 0)
        throw invalid_data("negative file length");

    total += std::uint64_t(length);

    if (total > std::uint64_t(std::numeric_limits<std::int64_t>::max() / 2))
        throw invalid_data("total size overflows");
}

void check_list(bdecode_node const& list, std::uint64_t& total)
{
    int const n = list.list_size();

    if (std::uint32_t(n) > max_files)
        throw invalid_data("too many files: " + std::to_string(n));

    for (int i = 0; i < n; ++i)
    {
        bdecode_node const file = list.list_at(i);

        if (file.type() != bdecode_node::dict_t
            || !file.dict_find_int("length"))
        {
            throw invalid_data("file without a length");
        }

        check_size(file.dict_find_int_value("length"), total);
    }
}

void check_pieces(bdecode_node const& info,
    std::int64_t const piece_length,
    std::uint64_t const total)
{
    std::uint64_t const n =
        (total + std::uint64_t(piece_length) - 1) / std::uint64_t(piece_length);
    bdecode_node const pieces = info.dict_find_string("pieces");

    if (n > max_pieces)
        throw invalid_data("too many pieces: " + std::to_string(n));

    if (pieces && std::uint64_t(pieces.string_length()) != n * 20)
    {
        throw invalid_data("pieces has "
            + std::to_string(pieces.string_length()) + " bytes, not "
            + std::to_string(n * 20));
    }
}

std::vector<file_tree> file_trees(
    lt::file_storage const& fs, std::uint32_t const piece_length)
{
    std::vector<file_tree> trees;

    for (lt::file_index_t const i : fs.file_range())
    {
        std::int64_t const length = fs.file_size(i);

        if (fs.pad_file_at(i) || length == 0)
            continue;

        std::uint64_t const offset = std::uint64_t(fs.file_offset(i));

        if (offset % piece_length != 0)
            throw invalid_data("file is not aligned to a piece");

        file_tree t;
        t.file = std::uint32_t(static_cast<int>(i));
        t.first_piece = std::uint32_t(offset / piece_length);
        t.piece_n = std::uint32_t(
            (std::uint64_t(length) + piece_length - 1) / piece_length);
        t.length = std::uint64_t(length);
        t.root = fs.root(i);
        trees.push_back(std::move(t));
    }

    return trees;
}

void add_files(layout& out,
    lt::file_storage const& fs,
    std::vector<std::string> const& paths,
    bool const listed)
{
    std::size_t next = 0;

    out.files.reserve(std::size_t(fs.num_files()));

    for (lt::file_index_t const i : fs.file_range())
    {
        bool const pad = fs.pad_file_at(i);
        layout_file f;
        std::string path;

        /* the pads of a v2 only torrent are libtorrent's, not the tree's */
        if (listed || !pad)
        {
            if (next == paths.size())
                throw invalid_data("file list does not match its tree");

            path = paths[next++];
        }

        if (path.empty() && pad)
            path = ".pad/" + std::to_string(fs.file_size(i));

        f.offset = std::uint64_t(fs.file_offset(i));
        f.length = std::uint64_t(fs.file_size(i));
        f.path = out.paths.size();
        f.path_len = std::uint32_t(path.size());
        f.flags = pad ? SHIM_PAD_FILE : 0;
        out.padded = out.padded || pad;
        out.paths += path;
        out.files.push_back(f);
    }
}

} // namespace

void check_info(bdecode_node const& info)
{
    std::uint64_t total = 0;
    bdecode_node const length = info.dict_find_int("piece length");

    if (!length)
        throw invalid_data("no piece length");

    std::int64_t const piece_length = length.int_value();

    if (piece_length <= 0 || piece_length > max_piece_length)
    {
        throw invalid_data(
            "piece length is absurd: " + std::to_string(piece_length));
    }

    if (!info.dict_find_string("name") && !info.dict_find_string("name.utf-8"))
    {
        throw invalid_data("no name");
    }

    bdecode_node const list = info.dict_find_list("files");
    bdecode_node const single = info.dict_find_int("length");

    if (list)
    {
        check_list(list, total);
        check_pieces(info, piece_length, total);
    }
    else if (single)
    {
        check_size(single.int_value(), total);
        check_pieces(info, piece_length, total);
    }
    else if (!info.dict_find_dict("file tree"))
    {
        /* neither files nor a length: a torrent of nothing, if it says so */
        if (!info.dict_find_string("pieces"))
            throw invalid_data("no files");

        check_pieces(info, piece_length, total);
    }
}

bool is_empty(bdecode_node const& info)
{
    bdecode_node const pieces = info.dict_find_string("pieces");

    /* check_pieces() has seen that the length fits to this */
    return pieces && pieces.string_length() == 0
        && !info.dict_find_dict("file tree");
}

std::shared_ptr<layout> make_empty_layout(bdecode_node const& info)
{
    auto out = std::make_shared<layout>();
    lt::span<char const> const raw = info.data_section();
    bdecode_node const list = info.dict_find_list("files");
    bool const listed = list && list.list_size() != 0;
    std::vector<std::string> paths;

    out->info.assign(raw.data(), std::size_t(raw.size()));
    out->ih.v1 = lt::hasher(raw).final();
    out->name = std::string(utf8_or(info, "name.utf-8", "name"));
    out->piece_length = std::uint32_t(info.dict_find_int_value("piece length"));
    out->piece_n = 0;
    out->total_size = 0;
    out->is_private = info.dict_find_int_value("private", 0) != 0;
    out->single_file = !listed && bool(info.dict_find_int("length"));

    if (listed || out->single_file)
        paths = display_paths(info, true, out->single_file);

    for (std::string const& path : paths)
    {
        layout_file f{};

        f.path = out->paths.size();
        f.path_len = std::uint32_t(path.size());
        out->paths += path;
        out->files.push_back(f);
    }

    out->hashes = std::make_unique<piece_hashes>(
        out->piece_length, 0, std::string(), std::vector<file_tree>());

    return out;
}

std::shared_ptr<layout> make_layout(lt::torrent_info const& ti)
{
    auto out = std::make_shared<layout>();
    lt::span<char const> const raw = ti.info_section();
    bdecode_node info;
    lt::error_code ec;

    out->info.assign(raw.data(), std::size_t(raw.size()));
    lt::bdecode(out->info.data(),
        out->info.data() + out->info.size(),
        info,
        ec,
        nullptr,
        max_depth,
        max_tokens);

    if (ec)
        throw invalid_data("info: " + ec.message());

    check_info(info);

    lt::file_storage const& fs = ti.orig_files();
    bool const v1 = ti.info_hashes().has_v1();

    out->ih = ti.info_hashes();
    out->name = std::string(utf8_or(info, "name.utf-8", "name"));
    out->piece_length = std::uint32_t(ti.piece_length());
    out->piece_n = std::uint32_t(ti.num_pieces());
    out->total_size = std::uint64_t(ti.total_size());
    out->is_private = ti.priv();

    if (out->piece_n == 0 || out->piece_n > max_pieces)
    {
        throw invalid_data("too many pieces: " + std::to_string(out->piece_n));
    }

    add_files(*out, fs, display_paths(info, v1, out->single_file), v1);

    std::string pieces;

    if (v1)
    {
        lt::string_view const p = info.dict_find_string_value("pieces");

        pieces.assign(p.data(), p.size());

        if (pieces.size() != std::size_t(out->piece_n) * 20)
            throw invalid_data("wrong number of piece hashes");
    }

    std::vector<file_tree> trees;

    if (out->ih.has_v2())
        trees = file_trees(fs, out->piece_length);

    out->hashes = std::make_unique<piece_hashes>(out->piece_length,
        out->total_size,
        std::move(pieces),
        std::move(trees));

    return out;
}

} // namespace shim
