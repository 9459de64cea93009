#include "tensor/tensor.h"

#include <atomic>

#include "tensor/arena.h"
#include "tensor/elementwise.h"
#include "tensor/grad_mode.h"
#include "tensor/memory.h"

namespace tapir {

Storage::Storage(int64_t bytes, Device device) : bytes(bytes), data(Arena::of(device).allocate(bytes)), device(device) {}

uint64_t Storage::next_number() {
  static std::atomic<uint64_t> next{0};
  return next.fetch_add(1, std::memory_order_relaxed);
}

Storage::~Storage() { Arena::of(device).release(data); }

Tensor Tensor::empty(const Shape& shape, DType type, Device device) {
  Tensor tensor;
  tensor.storage_ = std::make_shared<Storage>(shape.elements() * size_of(type), device);
  tensor.shape_ = shape;
  tensor.strides_ = row_major(shape);
  tensor.dtype_ = type;
  return tensor;
}

Tensor Tensor::full(const Shape& shape, double value, DType type, Device device) {
  Tensor tensor = empty(shape, type, device);
  fill_(tensor, value);
  return tensor;
}

Tensor Tensor::zeros(const Shape& shape, DType type, Device device) { return full(shape, 0, type, device); }

template <class T>
Tensor Tensor::from(std::span<const T> values, const Shape& shape, Device device) {
  require(static_cast<int64_t>(values.size()) == shape.elements(), "tensor",
          [&] { return text(values.size(), " values do not fill shape ", shape); });
  Tensor tensor = empty(shape, dtype_of<T>(), device);
  copy_bytes(device, tensor.data<T>(), Device::cpu, values.data(), static_cast<int64_t>(values.size_bytes()));
  if (std::is_integral_v<T> && device != Device::cpu) tensor.storage_->origin = from(values, shape, Device::cpu).storage_;
  return tensor;
}

template <class T>
T* Tensor::data() const {
  valued("data");
  require(dtype_ == dtype_of<T>(), "tensor", [&] { return text("holds ", dtype_, ", asked for ", dtype_of<T>()); });
  return static_cast<T*>(storage_->data) + offset_;
}

template <class T>
std::vector<T> Tensor::values() const {
  valued("values");
  const Tensor dense = detach().contiguous().on_host();
  const T* first = dense.data<T>();
  return std::vector<T>(first, first + elements());
}

double Tensor::item() const {
  require(valued("item").elements() == 1, "item", [&] { return text("needs exactly one element, shape is ", shape_); });
  return with_type(dtype_, [&](auto zero) { return static_cast<double>(values<decltype(zero)>()[0]); });
}

bool Tensor::is_contiguous() const {
  int64_t stride = 1;
  for (int axis = valued("is_contiguous").shape_.rank() - 1; axis >= 0; --axis) {
    const int64_t extent = shape_.begin()[axis];
    if (extent != 1 && strides_[axis] != stride) return elements() == 0;
    stride *= extent;
  }
  return true;
}

void Tensor::require_no_gradient_lost(const char* member, const char* hint) const {
  require(
      !node || !grad_enabled(), member,
      [&] { return text("this member of Tensor carries no gradient, and ", dtype_, shape_, " has a graph"); }, hint);
}

Tensor Tensor::contiguous() const {
  valued("contiguous").require_no_gradient_lost("contiguous", "use contiguous(x) of ops.h, or detach() where no gradient is wanted");
  return is_contiguous() ? detach() : copy();
}

Tensor Tensor::copy() const {
  valued("copy").require_no_gradient_lost("copy", "use copy(x) of ops.h, or detach() where no gradient is wanted");
  Tensor dense = empty(shape_, dtype_, device());
  copy_(dense, *this);
  return dense;
}

Tensor Tensor::to(DType type) const {
  valued("to").require_no_gradient_lost("to", "use to(x, type) of ops.h, or detach() where no gradient is wanted");
  if (type == dtype_) return detach();
  Tensor converted = empty(shape_, type, device());
  copy_(converted, *this);
  return converted;
}

Tensor Tensor::to(Device device) const {
  valued("to").require_no_gradient_lost("to", "detach() it: no op carries a gradient from device to device");
  if (device == this->device()) return detach();
  const Tensor dense = contiguous(), moved = empty(shape_, dtype_, device);
  with_type(dtype_, [&](auto zero) {
    using T = decltype(zero);
    copy_bytes(device, moved.data<T>(), this->device(), dense.data<T>(), elements() * size_of(dtype_));
  });
  return moved;
}

Tensor Tensor::on_host() const {
  valued("on_host").require_no_gradient_lost("on_host", "detach() it: no op carries a gradient from device to device");
  if (!storage_->origin || version() > 0) return to(Device::cpu);
  Tensor view = detach();
  view.storage_ = storage_->origin;
  return view;
}

Tensor Tensor::strided(const Shape& shape, const Strides& strides, int64_t offset) const {
  valued("strided").require_no_gradient_lost("strided", "use an op of shapes (ops.h), or detach() where no gradient is wanted");
  Tensor view;
  view.storage_ = storage_;
  view.offset_ = offset_;
  view.shape_ = shape;
  view.strides_ = strides;
  view.dtype_ = dtype_;
  if (shape.elements() == 0) {
    view.strides_ = row_major(shape);
    return view;
  }
  bool fits = !__builtin_add_overflow(offset_, offset, &view.offset_);
  int64_t lowest = view.offset_, highest = view.offset_;
  for (int axis = 0; axis < shape.rank(); ++axis) {
    int64_t& end = strides[axis] < 0 ? lowest : highest;
    int64_t reach = 0;
    fits &= !__builtin_mul_overflow(shape.begin()[axis] - 1, strides[axis], &reach);
    fits &= !__builtin_add_overflow(end, reach, &end);
  }
  const int64_t capacity = storage_->bytes / size_of(dtype_);
  if (!fits || lowest < 0 || highest >= capacity) [[unlikely]]
    throw Error(RunningOp::name_or("strided"),
                text("a view of shape ", shape, " leaves its storage of ", capacity, " elements"));
  return view;
}

void Tensor::refuse_undefined(const char* function) {
  throw Error(function, "the tensor has no value", "it was never given one");
}

Tensor Tensor::detach() const {
  Tensor constant = *this;
  constant.node = nullptr;
  constant.leaf = false;
  return constant;
}

void require_same_kind(const char* op, std::initializer_list<const Tensor*> tensors) {
  const Tensor& first = **tensors.begin();
  for (const Tensor* tensor : tensors) {
    require(tensor->defined(), op, [] { return "an input has no value"; });
    require(
        tensor->dtype() == first.dtype(), op,
        [&] {
          return text("element types differ: ", first.dtype(), first.shape(), " and ", tensor->dtype(), tensor->shape());
        },
        "there is no implicit conversion: use to(dtype)");
    require(tensor->device() == first.device(), op,
            [&] { return text("devices differ: ", first.device(), " and ", tensor->device()); });
  }
}

namespace {

constexpr int64_t shown = 6;   // longer axes are cut to their first and last three

void print(std::ostream& out, const Tensor& tensor, int axis, int64_t offset) {
  if (axis == tensor.rank()) {
    with_type(tensor.dtype(), [&](auto zero) { out << +tensor.data<decltype(zero)>()[offset]; });
    return;
  }
  out << '[';
  const int64_t n = tensor.size(axis);
  for (int64_t i = 0; i < n; ++i) {
    if (i) out << ", ";
    if (n > shown && i == shown / 2) {
      out << "…, ";
      i = n - shown / 2;
    }
    print(out, tensor, axis + 1, offset + i * tensor.stride(axis));
  }
  out << ']';
}

}  // namespace

std::ostream& operator<<(std::ostream& out, const Tensor& tensor) {
  if (!tensor.defined()) return out << "undefined";
  print(out, tensor.detach().contiguous().to(Device::cpu), 0, 0);
  return out << ' ' << tensor.dtype() << tensor.shape();
}

#define TAPIR_TENSOR_OF(T)                                                    \
  template Tensor Tensor::from(std::span<const T>, const Shape&, Device);     \
  template T* Tensor::data<T>() const;                                        \
  template std::vector<T> Tensor::values<T>() const;
TAPIR_TENSOR_OF(float)
TAPIR_TENSOR_OF(double)
TAPIR_TENSOR_OF(int32_t)
TAPIR_TENSOR_OF(uint8_t)
#undef TAPIR_TENSOR_OF

}  // namespace tapir
