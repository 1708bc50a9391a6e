console.log("odd")
