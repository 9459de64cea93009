// Lists of ops. The header of a family ends with that of its ops, and says of each that it is listed:
//
//   struct LogSumExp;
//   struct Softmax;
//   using SoftmaxOps = OpList<LogSumExp, Softmax>;
//   template <OneOf<SoftmaxOps> Op> inline constexpr bool is_listed<Op> = true;
//
// all_ops.h joins them. The tests sweep what is listed: an op that is not does not compile (apply.h), and neither does a listed
// op without its rows there.
#pragma once
#include <type_traits>

namespace tapir {

template <class... Ops> struct OpList {};
template <class... A, class... B> OpList<A..., B...> operator+(OpList<A...>, OpList<B...>);

template <class Op, class List> inline constexpr bool contains = false;
template <class Op, class... Ops> inline constexpr bool contains<Op, OpList<Ops...>> = (std::is_same_v<Op, Ops> || ...);
template <class Op, class List> concept OneOf = contains<Op, List>;

template <class Op> inline constexpr bool is_listed = false;   // an op of your own program: true, where the op is declared

}  // namespace tapir
