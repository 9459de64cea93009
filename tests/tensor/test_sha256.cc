// SHA-256 against the examples of FIPS 180-4 and its published vectors.
#include <doctest/doctest.h>

#include <string>

#include "tensor/sha256.h"

using namespace tapir;

TEST_CASE("sha256 of the published vectors") {
  CHECK(sha256_hex("") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  CHECK(sha256_hex("abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  CHECK(sha256_hex("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq") ==
        "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
  CHECK(sha256_hex(std::string(1'000'000, 'a')) == "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

TEST_CASE("sha256 piece by piece") {
  Sha256 sha;
  CHECK(sha.hex() == sha256_hex(""));
  sha.update("a");
  CHECK(sha.hex() == sha256_hex("a"));
  sha.update(std::as_bytes(std::span("bc", 2)));
  CHECK(sha.hex() == sha256_hex("abc"));
}
