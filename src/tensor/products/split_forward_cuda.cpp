// x·wᵀ of rows of bf16 and weights of floats: a block has some rows and up to 512 columns.
#include "base/check.hpp"
#include "tensor/launch_cuda.hpp"
#include "tensor/products/split_cuda.hpp"

namespace switchyard::products::split {
namespace {

struct Written {
  float* y;
  std::int64_t stride;
  bool add;
};

template <int tall>
__global__ void __launch_bounds__(tile_threads, tall == 1 ? 2 : 1)
    multiply_rows(TileOperands o, TileShape s, Written to) {
  extern __shared__ float shared[];
  const std::int64_t row = std::int64_t{blockIdx.x} * s.rows();
  const int column = static_cast<int>(blockIdx.y) * most_columns, columns = min(o.columns - column, most_columns);
  gpu::await_before();
  gpu::let_next_come();
  multiply_tile<tall>(o, s, row, column, shared);
  const int rows = static_cast<int>(min(o.rows - row, std::int64_t{s.rows()}));
  for (int i = static_cast<int>(threadIdx.x); i < rows * columns; i += tile_threads) {
    const int r = i / columns, c = i % columns;
    float* at = to.y + (row + r) * to.stride + column + c;
    const float sum = sum_strands(s, shared, r, c);
    *at = to.add ? *at + sum : sum;
  }
}

template <int tall>
void launch(cudaStream_t stream, const TileOperands& o, const TileShape& s, const Written& to) {
  static const cudaError_t allowed =
      cudaFuncSetAttribute(multiply_rows<tall>, cudaFuncAttributeMaxDynamicSharedMemorySize, 163840);
  check_cuda(allowed, "cudaFuncSetAttribute");
  const dim3 blocks(static_cast<unsigned>((o.rows + s.rows() - 1) / s.rows()),
                    static_cast<unsigned>((o.columns + most_columns - 1) / most_columns));
  gpu::launch(multiply_rows<tall>, blocks, dim3(tile_threads), static_cast<std::size_t>(s.bytes()), stream, o, s, to);
}

}  // namespace

void forward(cudaStream_t stream, const TileOperands& o, float* y, std::int64_t y_stride, bool add) {
  if (o.rows == 0 || o.columns == 0) return;
  const TileShape s = tile_shape(o.columns, o.depth);
  const auto with = s.tall == 1 ? launch<1> : s.tall == 2 ? launch<2> : launch<4>;
  with(stream, o, s, {y, y_stride, add});
}

}  // namespace switchyard::products::split
