SETTINGS = {"a": 1}


class Client:
    calls = 0


client = Client()
