import { useState } from "react";
import { createRoot } from "react-dom/client";
import { Thimble } from "thimble-lm";
import type {} from "thimble-lm/react";
import "thimble-lm/widget";

Thimble.configure({ site: import.meta.env.VITE_THIMBLE_SITE });

function App() {
  const [text, setText] = useState("");
  return (
    <>
      <thimble-lm model="story" prompt="Once upon a time" maxTokens={12} seed={7} loading="eager" onfinish={({ detail }) => setText(detail.text)} />
      <output>{text}</output>
    </>
  );
}

createRoot(document.getElementById("root")!).render(<App />);
