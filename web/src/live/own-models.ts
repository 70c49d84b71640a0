/** The models that are not part of the site, by the names that the panels use. */

import type { SavedModel } from "../storage/models";
import type { ModelReference } from "../ui/link";

export class OwnModels extends Map<string, Blob | SavedModel> {
  /** How a link names a model: one that a link has brought goes on by its address and digest. */
  reference(name: string): ModelReference {
    const file = this.get(name);
    if (!file || file instanceof Blob || !file.source || !file.sha256) return { model: name };
    return { model: file.source, sha256: file.sha256 };
  }

  /** The model that a link means, where it is here already; else what the link says. */
  meant({ model, sha256 }: ModelReference): string {
    for (const [name, file] of this) {
      if (!(file instanceof Blob) && sha256 && file.sha256 === sha256) return name;
    }
    return model;
  }
}
