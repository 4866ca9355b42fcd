// The options of the transformer itself, each with default, unit and help as in config.hpp, which includes this.
#pragma once
#include "config/enums.hpp"

namespace switchyard {

/// The decoder-only transformer (design part 4).
struct ModelConfig {
  int vocabulary = 0;
  int width = 128;
  int blocks = 4;
  AttentionKind attention = AttentionKind::grouped;
  int heads = 4;
  int kv_heads = 0;
  int head_dim = 0;
  QueryKeyNorm query_key_norm = QueryKeyNorm::none;
  bool attention_bias = false;
  int query_rank = 0;
  int kv_rank = 0;
  int rope_dim = 0;
  int value_dim = 0;
  int context = 256;
  int hidden = 512;
  Activation activation = Activation::gelu;
  bool tied = true;
  double rope_base = 10000.0;
  double norm_epsilon = 1e-5;
  double init_std = 0.02;
  double z_loss = 0.0;

  static void fields(auto& self, auto&& f) {
    f("vocabulary", self.vocabulary, "tokens", "size of the vocabulary; 0 takes the corpus's");
    f("width", self.width, "channels", "d, the width of the residual stream");
    f("blocks", self.blocks, "", "transformer blocks");
    f("attention", self.attention, "",
      "how a token reads the ones before it; grouped: grouped-query, rotary positions; latent: keys and values through "
      "one narrow row a token (counted, not trained yet)");
    f("heads", self.heads, "", "query heads; must divide width where head_dim is 0");
    f("kv_heads", self.kv_heads, "", "key and value heads; must divide heads; 0 means heads");
    f("head_dim", self.head_dim, "channels",
      "D, of a head, of latent without rope_dim; 0 means width / heads (others are counted, not trained yet)");
    f("query_key_norm", self.query_key_norm, "",
      "RMSNorm of queries and keys, of each head or of all of them together (counted, not trained yet)");
    f("attention_bias", self.attention_bias, "",
      "the query, key and value projections have a bias (counted, not trained yet)");
    f("query_rank", self.query_rank, "channels",
      "latent: queries are made through a row of so many channels; 0 means straight");
    f("kv_rank", self.kv_rank, "channels", "latent: keys and values are made through a row of so many channels");
    f("rope_dim", self.rope_dim, "channels",
      "latent: beside head_dim, of each query head and of the one key of all heads, for positions");
    f("value_dim", self.value_dim, "channels", "latent: of a value head; 0 means head_dim");
    f("context", self.context, "tokens", "T, tokens of one training sequence");
    f("hidden", self.hidden, "channels", "hidden width of a dense feed-forward");
    f("activation", self.activation, "", "two matrices (gelu, relu) or gated (swiglu), in dense and expert layers");
    f("tied", self.tied, "", "the head uses the embedding matrix");
    f("rope_base", self.rope_base, "", "base of the rotary position angles");
    f("norm_epsilon", self.norm_epsilon, "", "added to the mean square inside RMSNorm");
    f("init_std", self.init_std, "",
      "standard deviation of initial weights; output projections divide it by sqrt(2*blocks)");
    f("z_loss", self.z_loss, "", "coefficient of the head's mean squared log-sum-exp");
  }
};

}  // namespace switchyard
