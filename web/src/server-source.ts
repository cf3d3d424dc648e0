// Asks the server that `tessera-engine view` runs on this machine.

import {
  SourceError,
  type Accuracy,
  type ClassifyResult,
  type ImportedLabels,
  type Info,
  type Job,
  type LabelDocument,
  type Pixel,
  type PixelFacts,
  type RasterResult,
  type Segment,
  type Source,
  type SourceEvent,
  type TileQuery,
} from "./source";

/** Milliseconds until the server is asked again whether it is back. */
const ASK_AGAIN = 3000;

const GONE = "The program does not answer. Run tessera-engine view again and open its new address.";

const pair = (pixel: Pixel): [number, number] => [pixel.col, pixel.row];

export class ServerSource implements Source {
  private hear: (event: SourceEvent) => void = () => undefined;
  private gone = false;

  info(): Promise<Info> {
    return this.ask("info");
  }

  async tile(query: TileQuery, signal: AbortSignal): Promise<ArrayBuffer> {
    const version = query.version === undefined ? "" : `&v=${query.version}`;
    const path = `tile/${query.layer}/${query.z}/${query.x}/${query.y}?output=${query.output}${version}`;
    return (await this.fetch(path, { signal })).arrayBuffer();
  }

  pixel(output: number, { col, row }: Pixel): Promise<PixelFacts> {
    return this.ask(`pixel?output=${output}&col=${col}&row=${row}`);
  }

  similar(output: number, positives: Pixel[], negatives: Pixel[]): Promise<RasterResult> {
    return this.ask("similar", { output, positives: positives.map(pair), negatives: negatives.map(pair) });
  }

  change(a: number, b: number): Promise<RasterResult> {
    return this.ask("change", { a, b });
  }

  segments(): Promise<Segment[]> {
    return this.ask("segments");
  }

  labels(): Promise<LabelDocument> {
    return this.ask("labels");
  }

  async saveLabels(document: LabelDocument): Promise<number> {
    return (await this.ask<{ revision: number }>("labels", document)).revision;
  }

  importLabels(name: string, bytes: ArrayBuffer): Promise<ImportedLabels> {
    const path = `labels/import?name=${encodeURIComponent(name)}`;
    return this.json(path, { method: "POST", body: bytes, headers: { "Content-Type": "application/octet-stream" } });
  }

  classify(output: number): Promise<ClassifyResult> {
    return this.ask("classify", { output });
  }

  async accuracy(output: number): Promise<Accuracy | null> {
    const answer = await this.ask<Partial<Accuracy>>("accuracy", { output });
    return answer.known === undefined ? null : (answer as Accuracy);
  }

  exportLabels(format: string): Promise<string | null> {
    return this.export("labels", { format });
  }

  exportMap(output: number, method: string): Promise<string | null> {
    return this.export("map", { output, method });
  }

  exportSimilarity(version: number, threshold: number): Promise<string | null> {
    return this.export("similarity", { version, threshold });
  }

  async cancel(job: Job): Promise<void> {
    await this.ask("cancel", { job });
  }

  listen(hear: (event: SourceEvent) => void): void {
    this.hear = hear;
    const events = new EventSource("/api/events");
    events.onmessage = (message) => hear(JSON.parse(message.data as string) as SourceEvent);
    events.onopen = () => this.answered();
    events.onerror = () => void this.probe();
  }

  private async export(what: string, body: object): Promise<string | null> {
    return (await this.ask<{ name?: string }>(`export/${what}`, body)).name ?? null;
  }

  private ask<T>(path: string, body?: object): Promise<T> {
    if (body === undefined) return this.json(path, {});
    const headers = { "Content-Type": "application/json" };
    return this.json(path, { method: "POST", body: JSON.stringify(body), headers });
  }

  private async json<T>(path: string, request: RequestInit): Promise<T> {
    return (await this.fetch(path, request)).json() as Promise<T>;
  }

  private async fetch(path: string, request: RequestInit): Promise<Response> {
    let response: Response;
    try {
      response = await fetch(`/api/${path}`, request);
    } catch (error) {
      if ((error as Error).name === "AbortError") throw error;
      this.lost();
      throw new SourceError(GONE, 0);
    }
    this.answered();
    if (response.ok) return response;
    const said = await response.json().catch(() => ({}));
    throw new SourceError((said as { error?: string }).error ?? `The program answered ${response.status}.`, response.status);
  }

  private answered(): void {
    if (this.gone) this.hear({ kind: "back" });
    this.gone = false;
  }

  private lost(): void {
    if (this.gone) return;
    this.gone = true;
    this.hear({ kind: "gone" });
    const timer = setInterval(() => {
      if (this.gone) void this.probe();
      else clearInterval(timer);
    }, ASK_AGAIN);
  }

  /** Whether the server is there; a browser does not say why an event stream ended. */
  private async probe(): Promise<void> {
    await this.info().catch(() => undefined);
  }
}
