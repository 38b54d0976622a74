// The words of the dialog with code.

export const words = {
  en: {
    codeTitle: "The same call as code",
    languages: "Languages",
    copyCode: "Copy code",
    codeCopied: "Copied.",
    codeNotCopied: "Your browser does not allow copying here: select the code and press Ctrl+C.",
    codeForShells: "For bash and zsh; on Windows use Git Bash or WSL.",
    codeNeedsKey: "The code does not contain your key: put it into the variable GATEWAY_KEY.",
    codeNeedsFiles: "The code reads these files from its folder:",
  },
  zh: {
    codeTitle: "用代码发出同样的请求",
    languages: "语言",
    copyCode: "复制代码",
    codeCopied: "已复制。",
    codeNotCopied: "浏览器不允许在此复制：请选中代码后按 Ctrl+C。",
    codeForShells: "适用于 bash 和 zsh；在 Windows 上请使用 Git Bash 或 WSL。",
    codeNeedsKey: "代码中不含你的密钥：请把它放入环境变量 GATEWAY_KEY。",
    codeNeedsFiles: "代码会从所在文件夹读取这些文件：",
  },
};
