// Tensor: the one tensor type. A cheap value: a view (offset, shape, strides) of shared storage, and the graph node that
// made it, if any. Copying a Tensor copies the handle; the functions that write into one end in `_`.
#pragma once
#include <memory>
#include <span>
#include <vector>

#include "tensor/device.h"
#include "tensor/dtype.h"
#include "tensor/shape.h"

namespace tapir {

struct Node;   // autograd/node.h

// Bytes on one device, from that device's arena. `version` counts writes in place, `number` is the creation number.
struct Storage {
  Storage(int64_t bytes, Device device);
  ~Storage();
  Storage(const Storage&) = delete;
  Storage& operator=(const Storage&) = delete;

  const int64_t bytes;
  void* data;
  Device device;
  uint64_t version = 0;
  const uint64_t number = next_number();
  static uint64_t next_number();   // and counts on
  bool in_graph = false;   // an op made the bytes, and backward can still pass through its node
  std::shared_ptr<Storage> origin{};   // the same bytes on the CPU, while the version is 0; null: not known there
};

class Tensor {
 public:
  // Undefined: no storage, stands for "none". It can be copied, asked whether it is defined(), detached and printed; all
  // else throws an Error named after the function.
  Tensor() = default;

  static Tensor empty(const Shape& shape, DType type = DType::f32, Device device = default_device());   // contents undefined
  static Tensor full(const Shape& shape, double value, DType type = DType::f32, Device device = default_device());
  static Tensor zeros(const Shape& shape, DType type = DType::f32, Device device = default_device());

  // A copy of `values` in row-major order. Throws Error unless there are shape.elements() of them.
  template <class T>
  static Tensor from(std::span<const T> values, const Shape& shape, Device device = default_device());
  template <class T>
  static Tensor from(const std::vector<T>& values, const Shape& shape, Device device = default_device()) {
    return from(std::span<const T>(values), shape, device);
  }
  template <class T>
  static Tensor from(const std::vector<T>& values) {
    return from(std::span<const T>(values), {static_cast<int64_t>(values.size())});
  }

  bool defined() const { return storage_ != nullptr; }
  const Shape& shape() const { return valued("shape").shape_; }
  int rank() const { return valued("rank").shape_.rank(); }
  int64_t size(int axis) const { return shape_.begin()[valued("size").shape_.place(axis, "size")]; }
  int64_t elements() const { return valued("elements").shape_.elements(); }
  const Strides& strides() const { return valued("strides").strides_; }
  int64_t stride(int axis) const { return strides_[valued("stride").shape_.place(axis, "stride")]; }
  int64_t offset() const { return valued("offset").offset_; }   // of the first element in the storage, in elements
  DType dtype() const { return valued("dtype").dtype_; }
  Device device() const { return valued("device").storage_->device; }

  bool is_contiguous() const;   // row-major without holes

  // Members carry no gradient. Those that return a tensor throw Error where one would be lost: the tensor has a node, and ops
  // record. The ops of these names do carry it (autograd/ops.h); detach() says that none is wanted.
  Tensor contiguous() const;    // itself, or a row-major copy
  Tensor copy() const;          // fresh row-major memory
  Tensor to(DType type) const;  // converted copy (itself if nothing changes)
  Tensor to(Device device) const;   // copy on that device (itself if it is there)

  // For reading, as to(Device::cpu), but integers that Tensor::from brought to a device were kept: none of it is waited for.
  Tensor on_host() const;

  // First element of the view, an address on its device. Throws Error if T is not the element type.
  template <class T> T* data() const;

  // Elements in row-major order, and the only element (throws Error if there are several).
  template <class T> std::vector<T> values() const;
  double item() const;

  // A view of the same storage; `offset` is in elements from this view's first. Throws Error if an element lies outside of
  // the storage. A view without elements is row-major, and starts where this one does.
  Tensor strided(const Shape& shape, const Strides& strides, int64_t offset = 0) const;

  Tensor detach() const;                        // same storage, no node
  uint64_t version() const { return valued("version").storage_->version; }
  void wrote() const { ++valued("wrote").storage_->version; }   // every function that writes in place calls it
  bool shares_storage(const Tensor& other) const { return storage_ && storage_ == other.storage_; }
  const std::shared_ptr<Storage>& storage() const { return storage_; }
  bool sole_owner() const { return storage_.use_count() == 1; }

  std::shared_ptr<Node> node;   // null: a constant
  bool leaf = false;            // the node is a leaf's

 private:
  const Tensor& valued(const char* function) const {
    if (!storage_) [[unlikely]] refuse_undefined(function);
    return *this;
  }
  [[noreturn]] static void refuse_undefined(const char* function);
  void require_no_gradient_lost(const char* member, const char* hint) const;

  std::shared_ptr<Storage> storage_;
  int64_t offset_ = 0;
  Shape shape_;
  Strides strides_{};
  DType dtype_ = DType::f32;
};

// Throws an Error named after `function` unless x, which it knows as `argument`, is defined.
inline void require_defined(const char* function, const char* argument, const Tensor& x) {
  require(x.defined(), function, [&] { return text(argument, " has no value"); });
}

// Throws an Error named after `op` unless all tensors are defined and agree in element type and device.
void require_same_kind(const char* op, std::initializer_list<const Tensor*> tensors);

std::ostream& operator<<(std::ostream& out, const Tensor& tensor);   // values, shape and type; long axes are shortened

}  // namespace tapir
