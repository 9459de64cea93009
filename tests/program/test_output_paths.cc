// Every command that writes, on every kind of path: links are followed, devices and pipes are written through and never
// replaced, what may not be written is refused. The machine's own devices are not touched: those here are nodes of a test.
#include <doctest/doctest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <unistd.h>

#include <set>

#include "nn/files/atomic_file.h"
#include "tests/messages.h"
#include "tests/program/trained_run.h"

namespace tapir {
namespace {

namespace fs = std::filesystem;
using namespace testing;

constexpr const char* written = "";

// A path, and what comes of it: `written`, or a part of the refusal.
struct Place {
  std::string kind;
  fs::path path;                         // of --out
  std::string as_file, as_folder;
  fs::path found = path;                 // where the file or the folder is then
  fs::file_type type = fs::file_type::none;   // that the path itself still has; none: whatever
};

bool make_node(const fs::path& path, mode_t mode, unsigned major, unsigned minor) {
  return ::mknod(path.c_str(), mode | 0666, makedev(major, minor)) == 0 && ::access(path.c_str(), W_OK) == 0;
}

std::vector<Place> places_in(const TemporaryFolder& folder) {
  const fs::path root = folder.path();
  using fs::file_type;
  std::vector<Place> all;
  const auto add = [&](Place place) { all.push_back(std::move(place)); };

  add({"new", root / "new", written, written});
  add({"without a folder", root / "missing" / "new", "No such file or directory", written});
  const std::string page = "<!DOCTYPE html>\n";
  add({"existing page", folder.write("old", page), written, "is a file, not a folder"});
  add({"existing file", folder.write("notes", "old"), "is a file that no report is in", "is a file, not a folder"});
  fs::create_directory(root / "there");
  add({"folder", root / "there", "is a folder", written});
  fs::create_symlink("linked", root / "link");
  add({"link to a file", root / "link", written, "is a file, not a folder", folder.write("linked", page), file_type::symlink});
  fs::create_symlink(root / "far" / "new", root / "dangling");
  fs::create_directory(root / "far");
  add({"link to nothing", root / "dangling", written, written, root / "far" / "new", file_type::symlink});
  fs::create_symlink("once", root / "twice");
  fs::create_symlink("far/once", root / "once");
  add({"link to a link", root / "twice", written, written, root / "far" / "once", file_type::symlink});
  fs::create_directory(root / "behind");
  fs::create_symlink("behind", root / "link-to-folder");
  add({"link to a folder", root / "link-to-folder", "is a folder", written, root / "behind", file_type::symlink});
  fs::create_symlink("loop", root / "loop");
  add({"loop of links", root / "loop", "Too many levels of symbolic links", "Too many levels of symbolic links",
       root / "loop", file_type::symlink});
  add({"below a file", folder.write("plain", "plain") / "new", "Not a directory", "File exists"});
  fs::permissions(folder.write("read-only", page), fs::perms(0444));
  add({"read-only file", root / "read-only", "is read-only, and stays as it is; hint: change its permissions (chmod u+w)",
       "is a file, not a folder"});
  add({"too long a name", root / std::string(300, 'x'), "File name too long", "File name too long"});
  add({"a name that is no UTF-8", root / "caf\xe9", written, written});
  add({"no name", "", "must not be empty", "must not be empty"});
  REQUIRE(::mkfifo((root / "pipe").c_str(), 0666) == 0);
  add({"pipe", root / "pipe", written, "is a file, not a folder", root / "from-pipe", file_type::fifo});
  add({"standard output", "/dev/stdout", written, "is a file, not a folder", root / "from-stdout"});
  const int socket = ::socket(AF_UNIX, SOCK_STREAM, 0);
  sockaddr_un address{.sun_family = AF_UNIX, .sun_path = {}};
  (root / "socket").string().copy(address.sun_path, sizeof address.sun_path - 1);
  if (::bind(socket, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0)
    add({"socket", root / "socket", "No such device or address", "is a file, not a folder", root / "socket", file_type::socket});
  ::close(socket);
  if (make_node(root / "null", S_IFCHR, 1, 3))   // root may make devices, where the file system allows them
    add({"device", root / "null", written, "is a file, not a folder", "", file_type::character});
  if (make_node(root / "full", S_IFCHR, 1, 7))
    add({"full device", root / "full", "write after 0 bytes failed: No space left on device", "is a file, not a folder", "",
         file_type::character});
  if (make_node(root / "block", S_IFBLK, 7, 99))
    add({"block device", root / "block", "is a block device", "is a file, not a folder", "", file_type::block});
  return all;
}

struct Writer {
  std::string command, line;
  bool file;              // not a folder
  std::string holds;      // a part of the file that is written, or a file of the folder
};

// An experiment with a criterion and two arms, which nobody changes.
std::filesystem::path trial() {
  static const TemporaryFolder folder;
  return folder.write("trial.toml", text(tiny, R"(
[trial]
claim = "c"
source = "s"
metric = "validation_loss"
difference = 1
reason = "r"
refuted_by = "f"
limits = "l"
seeds = 2
[[trial.arm]]
name = "a"
[[trial.arm]]
name = "b"
attention.mechanism = "twicing"
)"));
}

// Its runs, made once.
std::filesystem::path runs_of_trial() {
  static const TemporaryFolder folder;
  static const int status = tapir("trial " + in_quotes(trial()) + " --out " + in_quotes(folder.path() / "runs")).status;
  CHECK(status == 0);
  return folder.path() / "runs";
}

std::vector<Writer> writers() {
  const std::string experiment = in_quotes(trained().experiment) + " --set train.steps=1";
  return {{"report", "report " + in_quotes(trained().run), true, "<title>"},
          {"train", "train " + experiment, false, "model.safetensors"},
          {"trial", "trial " + in_quotes(trial()) + " --set train.steps=1", false, "trial.md"},
          {"dossier", "dossier " + in_quotes(trial()) + " --runs " + in_quotes(runs_of_trial()), false, "trial.md"},
          {"compare", "compare " + experiment + " --attention dot_product --seeds 1",
           false, "compare.json"}};
}

}  // namespace

TEST_CASE("every command that writes takes every kind of path for what it is") {
  std::set<std::string> with_output;   // no command is forgotten here
  for (const std::string& command : all_commands())
    if (contains_text(tapir(command + " --help").out, "--out ")) with_output.insert(command);
  std::set<std::string> listed;
  for (const Writer& writer : writers()) {
    listed.insert(writer.command);
    const TemporaryFolder folder;
    for (const Place& place : places_in(folder)) {
      INFO(writer.command << " --out: " << place.kind);
      const std::string& expected = writer.file ? place.as_file : place.as_folder;
      const fs::path out = folder.path() / "from-stdout", err = folder.path() / "err";
      const bool reader = place.kind == "pipe" && writer.file;
      const std::string pipe = reader ? "cat " + in_quotes(place.path) + " > " + in_quotes(place.found) + " & " : "";
      const int status = std::system((pipe + "'" TAPIR_PROGRAM "' --threads 1 " + writer.line + " --out " +
                                      in_quotes(place.path) + " </dev/null >" + in_quotes(out) + " 2>" + in_quotes(err) +
                                      (reader ? "; status=$?; wait; exit $status" : "")).c_str());
      CAPTURE(contents(err));
      if (expected == written) {
        CHECK(WEXITSTATUS(status) == 0);
        if (writer.file && !place.found.empty()) {
          CHECK(contents(place.found).starts_with("<!DOCTYPE html>"));
          CHECK(contents(place.found).ends_with("</html>\n"));
        }
        if (!writer.file) CHECK(fs::exists(place.found / writer.holds));
      } else {
        CHECK(WEXITSTATUS(status) == 1);
        CHECK(contains_text(contents(err), expected));
        CHECK(contains_text(contents(err), "tapir: "));
      }
      if (place.type != fs::file_type::none) CHECK(fs::symlink_status(place.path).type() == place.type);
      if (place.kind == "read-only file") CHECK(contents(place.path) == "<!DOCTYPE html>\n");
      if (place.kind == "below a file") CHECK(contents(place.path.parent_path()) == "plain");
      for (const char* device : {"/dev/null", "/dev/stdout", "/dev/full"})
        CHECK_FALSE(fs::is_regular_file(fs::symlink_status(device)));
    }
    for (const auto& item : fs::directory_iterator(folder.path())) CHECK_FALSE(contains_text(item.path().string(), ".tmp"));
  }
  CHECK(with_output == listed);
}

TEST_CASE("a file that is written again keeps its permissions and its owner") {
  const TemporaryFolder folder;
  const fs::path path = folder.write("data", "old");
  for (const unsigned mode : {0640, 0600, 0666, 0755}) {
    REQUIRE(::chmod(path.c_str(), mode) == 0);
    if (::geteuid() == 0) REQUIRE(::chown(path.c_str(), 65534, 65534) == 0);
    write_atomically(path, text("new ", mode));
    struct stat status;
    REQUIRE(::stat(path.c_str(), &status) == 0);
    CHECK((status.st_mode & 07777) == mode);
    CHECK(status.st_uid == (::geteuid() == 0 ? 65534 : ::geteuid()));
    CHECK(contents(path) == text("new ", mode));
  }
}

TEST_CASE("an open file is written through, from where it ends") {
  const TemporaryFolder folder;
  const fs::path path = folder.write("log", "before\n");
  const Descriptor file(path, O_WRONLY | O_APPEND);
  write_atomically(text("/proc/self/fd/", file.get()), std::string_view("more\n"));
  CHECK(contents(path) == "before\nmore\n");
}

TEST_CASE("a folder that may not be written to is an error, as the system has it") {
  const TemporaryFolder folder;
  fs::permissions(folder.path(), fs::perms(0555));
  if (::access(folder.path().c_str(), W_OK) == 0) return;   // root may
  CHECK(contains_text(error_of([&] { write_atomically(folder.path() / "new", std::string_view("x")); }),
                      "creating a temporary file beside it failed: Permission denied; hint: choose a folder"));
}

}  // namespace tapir
