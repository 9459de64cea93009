#include "tensor/sha256.h"

#include <openssl/evp.h>

#include <array>

#include "tensor/error.h"

namespace tapir {
namespace {

void succeed(int result) {
  require(result == 1, "sha256", [] { return "the digest of OpenSSL failed"; });
}

}  // namespace

struct Sha256::State {
  State() : context(EVP_MD_CTX_new()) {
    require(context != nullptr, "sha256", [] { return "OpenSSL gave no digest context"; });
  }
  ~State() { EVP_MD_CTX_free(context); }

  EVP_MD_CTX* context;
};

Sha256::Sha256() : state_(std::make_unique<State>()) { succeed(EVP_DigestInit_ex(state_->context, EVP_sha256(), nullptr)); }

Sha256::~Sha256() = default;

void Sha256::update(std::span<const std::byte> bytes) {
  succeed(EVP_DigestUpdate(state_->context, bytes.data(), bytes.size()));
}

void Sha256::update(std::string_view text) { update(std::as_bytes(std::span(text))); }

std::string Sha256::hex() const {
  State finished;  // EVP_DigestFinal_ex ends a context: finish a copy
  std::array<unsigned char, 32> digest;
  succeed(EVP_MD_CTX_copy_ex(finished.context, state_->context));
  succeed(EVP_DigestFinal_ex(finished.context, digest.data(), nullptr));
  std::string digits;
  for (unsigned char byte : digest) {
    digits += "0123456789abcdef"[byte >> 4];
    digits += "0123456789abcdef"[byte & 15];
  }
  return digits;
}

std::string sha256_hex(std::span<const std::byte> bytes) {
  Sha256 sha;
  sha.update(bytes);
  return sha.hex();
}

std::string sha256_hex(std::string_view text) { return sha256_hex(std::as_bytes(std::span(text))); }

}  // namespace tapir
