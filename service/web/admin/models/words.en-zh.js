// The words of models.

export const words = {
  en: {
    "models.alive": "Models that will end",
    "models.ended": "Models that have ended",
    "models.noneAlive": "No model of the catalogue has an end to come.",
    "models.noneEnded": "No model of the catalogue has ended.",
    "models.model": "Model",
    "models.ends": "Ends",
    "models.answeredBy": "Answered by",
    "models.itself": "itself",
    "models.usedBy": "Still used by, in these days",
    "models.unused": "no team",
    "models.teamImages": (team, count, text) => `${team}: ${count === 1 ? "1 image" : `${text} images`}`,
    "models.hint": "Images of a model that has ended are counted for the model that answers. The metric that names the teams which still ask for it:",
  },
  zh: {
    "models.alive": "即将下线的模型",
    "models.ended": "已下线的模型",
    "models.noneAlive": "目录中没有即将下线的模型。",
    "models.noneEnded": "目录中没有已下线的模型。",
    "models.model": "模型",
    "models.ends": "下线日期",
    "models.answeredBy": "实际生成的模型",
    "models.itself": "自身",
    "models.usedBy": "这段时间仍在使用的团队",
    "models.unused": "没有团队",
    "models.teamImages": (team, count, text) => `${team}：${text} 张图片`,
    "models.hint": "模型下线后，图片计入实际生成的模型。想知道哪些团队还在请求已下线的模型，请看指标：",
  },
};
