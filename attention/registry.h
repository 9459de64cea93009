// Rows by name: a table that a program may add to. A row keeps its address when others are added.
#pragma once
#include <deque>
#include <string>
#include <utility>
#include <vector>

#include "nn/fields.h"
#include "tensor/error.h"

namespace tapir {

// The options of a row as what they are. Throws Error, named after `where`, for those of another row.
template <class O> const O& options_of(const char* where, const std::string& row, const nn::Options& options) {
  const auto* const own = dynamic_cast<const O*>(&options);
  require(own != nullptr, where, [&] { return text("these are not the options of '", row, "'"); },
          "take those that the row's options() makes");
  return *own;
}

template <class Row> class Registry {   // of rows with a name and a title
 public:
  // `where`: in errors. `what` a row is: "mechanism".
  Registry(std::string where, std::string what, std::deque<Row> rows)
      : where_(std::move(where)), what_(std::move(what)), rows_(std::move(rows)) {}

  const std::deque<Row>& rows() const { return rows_; }

  std::vector<std::string> names() const {
    std::vector<std::string> all;
    for (const Row& row : rows_) all.push_back(row.name);
    return all;
  }

  const Row& at(const std::string& name) const {   // throws Error that lists those that exist
    std::string known;
    for (const Row& row : rows_) {
      if (row.name == name) return row;
      known += (known.empty() ? "" : ", ") + row.name;
    }
    throw Error(where_, text("there is no ", what_, " '", name, "'; those that exist: ", known));
  }

  // Throws Error unless the name is new, and is made of a … z, 0 … 9 and _: runs and folders are named after it.
  void add(Row row) {
    require(!row.name.empty() && row.name.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789_") == std::string::npos,
            where_, [&] { return text("the name '", row.name, "' must be made of a … z, 0 … 9 and _"); });
    for (const Row& known : rows_)
      require(known.name != row.name, where_, [&] { return text("the name '", row.name, "' is taken by ", known.title); });
    rows_.push_back(std::move(row));
  }

 private:
  const std::string where_, what_;
  std::deque<Row> rows_;
};

}  // namespace tapir
