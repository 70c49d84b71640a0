/** The worked examples, by the names that the template lists them with. */

import banLetter from "./examples/ban_letter.py";
import beamSearch from "./examples/beam_search.py";
import comparePrompts from "./examples/compare_prompts.py";
import countParameters from "./examples/count_parameters.py";
import ensemble from "./examples/ensemble.py";
import entropyPlot from "./examples/entropy_plot.py";
import greedyOrSampled from "./examples/greedy_or_sampled.py";
import nearestTokens from "./examples/nearest_tokens.py";
import nextToken from "./examples/next_token.py";
import numpySoftmax from "./examples/numpy_softmax.py";
import ownSampler from "./examples/own_sampler.py";
import search from "./examples/search.py";
import constraint from "./examples/constraint.py";
import surprise from "./examples/surprise.py";
import timeTokens from "./examples/time_tokens.py";

export const examples: Readonly<Record<string, string>> = {
  next_token: nextToken,
  own_sampler: ownSampler,
  ban_letter: banLetter,
  surprise: surprise,
  compare_prompts: comparePrompts,
  greedy_or_sampled: greedyOrSampled,
  beam_search: beamSearch,
  ensemble: ensemble,
  entropy_plot: entropyPlot,
  nearest_tokens: nearestTokens,
  search: search,
  constraint: constraint,
  count_parameters: countParameters,
  time_tokens: timeTokens,
  numpy_softmax: numpySoftmax,
};
