/**
 * The table of sampling options (`thimble/sampling_options.py`).
 * Made by `python -m tools.generate`; do not edit.
 */

/** How the next token is chosen. The engine checks ranges, and names what is wrong. */
export interface EngineOptions {
  /** 0 takes the most likely token; higher is wilder. */
  temperature?: number;
  /** Sample from the k most likely tokens; 0 for all. */
  top_k?: number;
  /** Sample from the most likely tokens that add up to this. */
  top_p?: number;
  /** Exclude tokens below this share of the best. */
  min_p?: number;
  /** Above 1 discourages tokens that are there already. */
  repetition_penalty?: number;
  /** Subtracted from a token's logit for each time it occurs. */
  frequency_penalty?: number;
  /** Subtracted from the logit of a token that occurs. */
  presence_penalty?: number;
  /** Tokens that the penalties look back; -1 for all. */
  repeat_last_n?: number;
  /** Discourages repeated sequences; 0 for off. */
  dry_multiplier?: number;
  /** How fast that grows with the sequence's length. */
  dry_base?: number;
  /** Longest sequence that may be repeated freely. */
  dry_allowed_length?: number;
  /** Tokens in which repeated sequences are sought; -1 for all. */
  dry_penalty_last_n?: number;
  /** Strings at which a sequence ends. */
  dry_sequence_breakers?: string[];
  /** Varies the temperature by so much, by the entropy; 0 for off. */
  dynatemp_range?: number;
  /** How the entropy maps to that range. */
  dynatemp_exponent?: number;
  /** Exclude logits so many standard deviations below the best; 0 for none. */
  top_n_sigma?: number;
  /** Sample from the most typical tokens that add up to this. */
  typical_p?: number;
  /** How often all likely tokens but the last are excluded. */
  xtc_probability?: number;
  /** The probability from which a token counts as likely. */
  xtc_threshold?: number;
  /** 2 holds the text's surprise near a target, in place of top-k, top-p and the like; 0 for off. */
  mirostat?: number;
  /** That surprise, in bits per token. */
  mirostat_tau?: number;
  /** How fast it is approached. */
  mirostat_eta?: number;
  /** Maximum number of tokens to write. */
  max_tokens?: number;
  /** Added to the logits of these ids; minus infinity bans one. */
  logit_bias?: Record<number, number>;
  /** Writing ends before any of these strings. */
  stop?: string | string[];
  /** Same seed, same settings, same text. */
  seed?: number;
  /** How many alternatives to report with each token. */
  top_logprobs?: number;
}

export const ENGINE_OPTIONS: readonly (keyof EngineOptions)[] = [
  "temperature",
  "top_k",
  "top_p",
  "min_p",
  "repetition_penalty",
  "frequency_penalty",
  "presence_penalty",
  "repeat_last_n",
  "dry_multiplier",
  "dry_base",
  "dry_allowed_length",
  "dry_penalty_last_n",
  "dry_sequence_breakers",
  "dynatemp_range",
  "dynatemp_exponent",
  "top_n_sigma",
  "typical_p",
  "xtc_probability",
  "xtc_threshold",
  "mirostat",
  "mirostat_tau",
  "mirostat_eta",
  "max_tokens",
  "logit_bias",
  "stop",
  "seed",
  "top_logprobs",
];

/** A number that the page asks for. */
export interface OptionForm {
  readonly label: string;
  /** Where it does nothing, or the engine's default. */
  readonly neutral: number;
  /** Whether it may change which token comes. */
  readonly decides: boolean;
  readonly rare: boolean;
}

export const OPTION_FORMS = {
  temperature: { label: "Temperature", neutral: 1, decides: true, rare: false },
  top_k: { label: "Top-k", neutral: 0, decides: true, rare: false },
  top_p: { label: "Top-p", neutral: 1, decides: true, rare: false },
  min_p: { label: "Min-p", neutral: 0, decides: true, rare: false },
  repetition_penalty: { label: "Repetition penalty", neutral: 1, decides: true, rare: false },
  frequency_penalty: { label: "Frequency penalty", neutral: 0, decides: true, rare: true },
  presence_penalty: { label: "Presence penalty", neutral: 0, decides: true, rare: true },
  repeat_last_n: { label: "Penalty window", neutral: 64, decides: true, rare: true },
  dry_multiplier: { label: "DRY multiplier", neutral: 0, decides: true, rare: true },
  dry_base: { label: "DRY base", neutral: 1.75, decides: true, rare: true },
  dry_allowed_length: { label: "DRY allowed length", neutral: 2, decides: true, rare: true },
  dry_penalty_last_n: { label: "DRY window", neutral: -1, decides: true, rare: true },
  dynatemp_range: { label: "Dynamic temperature", neutral: 0, decides: true, rare: true },
  dynatemp_exponent: { label: "Dynamic exponent", neutral: 1, decides: true, rare: true },
  top_n_sigma: { label: "Top-n-sigma", neutral: 0, decides: true, rare: true },
  typical_p: { label: "Typical-p", neutral: 1, decides: true, rare: true },
  xtc_probability: { label: "XTC probability", neutral: 0, decides: true, rare: true },
  xtc_threshold: { label: "XTC threshold", neutral: 0.1, decides: true, rare: true },
  mirostat: { label: "Mirostat", neutral: 0, decides: true, rare: true },
  mirostat_tau: { label: "Mirostat target", neutral: 5, decides: true, rare: true },
  mirostat_eta: { label: "Mirostat rate", neutral: 0.1, decides: true, rare: true },
  max_tokens: { label: "Length", neutral: 256, decides: false, rare: false },
  seed: { label: "Seed", neutral: 0, decides: true, rare: false },
} as const satisfies Partial<Record<keyof EngineOptions, OptionForm>>;

/** An option that is a number, and has a place in the page's form and in links. */
export type OptionName = keyof typeof OPTION_FORMS;

/** What became of a token in a draw: kept, or what dropped it. */
export type Fate = "kept" | "top_k" | "top_p" | "min_p" | "top_n_sigma" | "typical_p" | "xtc_probability" | "mirostat" | "greedy" | "no_weight" | "constraint";

/** What drops a token, in the fewest words. */
export const DROPPED_BY: Readonly<Record<Exclude<Fate, "kept">, string>> = {
  top_k: "top-k",
  top_p: "top-p",
  min_p: "min-p",
  top_n_sigma: "top-n-sigma",
  typical_p: "typical-p",
  xtc_probability: "xtc probability",
  mirostat: "mirostat",
  greedy: "not the best",
  no_weight: "no chance",
  constraint: "the constraint",
};
