/** A model at an address that the visitor has chosen somewhere on the page, for whoever brings it. */

/** What is told: the address, and the SHA-256 that its bytes must have. */
export class WantedEvent extends Event {
  readonly url: URL;
  readonly digest: string;

  constructor(url: URL, digest: string) {
    super("wanted");
    this.url = url;
    this.digest = digest;
  }
}

const channel = new EventTarget();

export function wantModel(url: URL, digest: string): void {
  channel.dispatchEvent(new WantedEvent(url, digest));
}

export function onWanted(hear: (wanted: WantedEvent) => void): void {
  channel.addEventListener("wanted", (event) => hear(event as WantedEvent));
}
