#include "nn/fields.h"

#include <algorithm>
#include <set>

#include "tensor/error.h"

namespace tapir::nn {
namespace {

class Judge final : public FieldVisitor {
 public:
  explicit Judge(const char* where) : where_(where) {}

  void operator()(const char* key, int64_t& value, const char*, const Range& range) override { judge(key, value, range); }
  void operator()(const char* key, double& value, const char*, const Range& range) override { judge(key, value, range); }
  void operator()(const char*, bool&, const char*) override {}
  void operator()(const char* key, std::string& value, const char*, const Choices& choices) override {
    require(choices.empty() || std::find(choices.begin(), choices.end(), value) != choices.end(), where_, [&] {
      std::string listed;
      for (const std::string& choice : choices) listed += (listed.empty() ? "" : ", ") + choice;
      return text(key, " '", value, "' is none of: ", listed);
    });
  }
  void operator()(const char* key, Numbers& values, const char*, const Range& range) override {
    require(!values.empty(), where_, [&] { return text(key, " must have a number"); });
    for (const int64_t value : values) judge(key, value, range);
  }

 private:
  template <class T> void judge(const char* key, T value, const Range& range) const {
    require(range.contains(value), where_,
            [&] { return text(key, " must be in ", range.low, " … ", range.high, ", got ", value); });
  }

  const char* where_;
};

class Keys final : public FieldVisitor {
 public:
  Keys(const char* where, const std::vector<std::string>& taken) : where_(where), known_(taken.begin(), taken.end()) {}

  void operator()(const char* key, int64_t&, const char*, const Range&) override { add(key); }
  void operator()(const char* key, double&, const char*, const Range&) override { add(key); }
  void operator()(const char* key, bool&, const char*) override { add(key); }
  void operator()(const char* key, std::string&, const char*, const Choices&) override { add(key); }
  void operator()(const char* key, Numbers&, const char*, const Range&) override { add(key); }
  void only(bool, const char*, std::initializer_list<const char*> keys) override {
    for (const char* key : keys)
      require(known_.contains(key), where_, [&] { return text("'", key, "' is said to be unread, and is no option before that"); });
  }

 private:
  void add(const std::string& key) {
    require(!key.empty(), where_, [] { return "an option must have a key"; });
    require(known_.insert(key).second, where_, [&] { return text("there are two options '", key, "'"); });
  }

  const char* where_;
  std::set<std::string> known_;
};

}  // namespace

void require_sound(const char* where, Options& options, const std::vector<std::string>& taken) {
  Keys keys(where, taken);
  options.fields(keys);
  require_allowed(where, options);
}

void require_allowed(const char* where, Options& options) {
  Judge judge(where);
  options.fields(judge);
}

}  // namespace tapir::nn
