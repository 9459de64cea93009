// The text of the Error that a call throws.
#pragma once
#include <functional>
#include <string>

#include "tensor/error.h"

namespace tapir {

inline std::string message_of(const std::function<void()>& call) {
  try {
    call();
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

inline bool contains_text(const std::string& text, const std::string& word) { return text.find(word) != std::string::npos; }

}  // namespace tapir
