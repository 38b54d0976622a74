// The words of the playground.

export const words = {
  en: {
    makeImages: "Make images",
  },
  zh: {
    makeImages: "生成图像",
  },
};
